#include "losses/dice.h"

#include <algorithm>

#include "losses/labels.h"
#include "tensor/constant.h"
#include "tensor/cuda.h"
#include "tensor/parallel.h"

namespace patchcl {

namespace {

// Adds pixels [begin, end) to the sums of each class.
template <class T, class K>
void add_pixels(const LabelledPixels<T>& x, int64_t begin, int64_t end, K classes, ClassSums* sums) {
  const T* p = x.p + begin * classes;
  for (int64_t i = begin; i < end; ++i, p += classes) {
    const double w = double(x.w(i));
    for (int64_t k = 0; k < classes; ++k) sums[k].d += w * double(p[k]) * double(p[k]);
    sums[x.label[i]].i += w * double(p[x.label[i]]);
    sums[x.label[i]].d += w;
  }
}

}  // namespace

Shape Dice::shape(const Shapes& x) const {
  check_labelled_shapes(name(), x);
  return {1};
}

// The sums of each class over each chunk of pixels, or each block.
size_t Dice::workspace(const Shapes& x, DType, Device d) const {
  const int64_t parts = d == Device::cuda ? int64_t(cuda::kReduceBlocks) : kMaxPartials;
  return size_t(parts * x[0][-1]) * sizeof(ClassSums);
}

// One loop is both the reference and the fast kernel: it runs at a third of memory speed, and the softmax
// before it takes longer.
void Dice::forward_cpu(const Forward& f) const {
  const int64_t classes = f.x[0].shape()[-1], pixels = f.x[1].numel(), chunk = reduce_chunk(pixels);
  check_labels(name(), f.x[1], classes);
  auto* partial = reinterpret_cast<ClassSums*>(f.workspace.data<uint8_t>());
  double* factors = f.aux[0].data<double>();
  dispatch(f.y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const LabelledPixels<T> x(f.x);
    parallel_chunks(
        pixels,
        [&](int64_t begin, int64_t end) {
          ClassSums* sums = partial + begin / chunk * classes;
          std::fill_n(sums, classes, ClassSums{});
          with_constant(classes, [&](auto k) { add_pixels(x, begin, end, k, sums); });
        },
        chunk);
    double loss = 0;
    for (int64_t k = 0; k < classes; ++k) {
      ClassSums s{};
      for (int64_t c = 0; c < chunks(pixels, chunk); ++c) s += partial[c * classes + k];
      const double numerator = 2 * s.i + smooth_, d = s.d + smooth_;
      loss += 1 - numerator / d;  // EQ: 4.4 Dice loss
      factors[2 * k] = -2 / (d * double(classes));
      factors[2 * k + 1] = 2 * numerator / (d * d * double(classes));  // EQ: 4.4 Dice loss gradient
    }
    f.y.data<T>()[0] = T(loss / double(classes));
  });
}

void Dice::backward_cpu(const Backward& b) const {
  const GradOut& out = b.dx[0];
  if (!out) return;
  const int64_t classes = out.t.shape()[-1];
  const double* factors = b.aux[0].data<double>();
  dispatch(b.dy.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const LabelledPixels<T> x(b.x);
    T* dp = out.t.data<T>();
    const double dy = double(b.dy.data<T>()[0]);
    parallel_chunks(x.count, [&](int64_t begin, int64_t end) {
      with_constant(classes, [&](auto classes) {
        T on_label[256], slope[256];  // dy a_k and dy b_k
        for (int64_t k = 0; k < classes; ++k) {
          on_label[k] = T(dy * factors[2 * k]);
          slope[k] = T(dy * factors[2 * k + 1]);
        }
        for (int64_t i = begin; i < end; ++i) {
          const T w = x.w(i);
          for (int64_t k = 0; k < classes; ++k)
            store(dp[i * classes + k], w * slope[k] * x.p[i * classes + k], out.accumulate);
          dp[i * classes + x.label[i]] += w * on_label[x.label[i]];
        }
      });
    });
  });
}

Var dice_loss(const Var& probabilities, const Var& labels, const Var& weight, double smooth, Loc loc) {
  return probabilities.tape().apply(
      std::make_shared<Dice>(smooth), with_weight(probabilities, labels, weight), loc);
}

}  // namespace patchcl
