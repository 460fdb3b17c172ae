// The supervised contrast of pixels (losses/pixel_contrast.h) alone, forward and backward.
#include "losses/pixel_contrast.h"
#include "tensor/random.h"
#include "train/bench/bench.h"

namespace patchcl::bench {

namespace {
constexpr int64_t kNumbers = 128, kClasses = 4;  // of a vector; 0 is the background
}

struct ContrastStep::Impl {
  Arena fixed{"vectors"}, arena{"step"};
  Tensor f, df, labels;
};

// Random vectors of length 1 and random labels.
ContrastStep::ContrastStep(int64_t vectors) : impl_(new Impl) {
  Impl& i = *impl_;
  i.f = i.fixed.empty({1, vectors, kNumbers}, DType::f32);
  i.df = i.fixed.zeros({1, vectors, kNumbers}, DType::f32);
  i.labels = i.fixed.empty({1, vectors}, DType::i32);
  Rng rng(1, 0, 0);
  for (int64_t v = 0; v < vectors; ++v) {
    i.labels.data<int32_t>()[v] = int32_t(rng.below(kClasses));
    float* const f = i.f.data<float>() + v * kNumbers;
    double squares = 0;
    for (int64_t d = 0; d < kNumbers; ++d) {
      f[d] = float(rng.normal());
      squares += double(f[d]) * double(f[d]);
    }
    for (int64_t d = 0; d < kNumbers; ++d) f[d] /= float(std::sqrt(squares));
  }
}

ContrastStep::~ContrastStep() = default;

void ContrastStep::run() {
  Tape tape(impl_->arena);
  const Var f = tape.parameter(impl_->f, impl_->df, "vectors");
  tape.backward(pixel_contrast(f, tape.constant(impl_->labels, "labels"), {}));
}

}  // namespace patchcl::bench
