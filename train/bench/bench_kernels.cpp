// Each convolution of the UNet, forward and backward, with each choice of kernels.
#include "autograd/ops/conv2d.h"
#include "tensor/arena.h"
#include "tensor/device.h"
#include "tensor/random.h"
#include "tensor/text.h"
#include "train/bench/bench.h"

namespace patchcl::bench {

namespace {

struct Layer {
  std::vector<int64_t> in;
  int64_t out, size, kernel;
  int times;
};

// The convolutions of the UNet (METHODS 4.3) at 256x256, each shape once.
const std::vector<Layer> kLayers = {{{1}, 16, 256, 3, 1}, {{16}, 16, 256, 3, 2}, {{16, 16}, 16, 256, 3, 1},
    {{16}, 32, 128, 3, 1}, {{32}, 32, 128, 3, 2}, {{32, 32}, 32, 128, 3, 1}, {{32}, 64, 64, 3, 1},
    {{64}, 64, 64, 3, 2}, {{64, 64}, 64, 64, 3, 1}, {{64}, 128, 32, 3, 1}, {{128}, 128, 32, 3, 2},
    {{128, 128}, 128, 32, 3, 1}, {{128}, 256, 16, 3, 1}, {{256}, 256, 16, 3, 1}, {{16}, 4, 256, 3, 1},
    {{256}, 128, 16, 1, 1}, {{128}, 64, 32, 1, 1}, {{64}, 32, 64, 1, 1}, {{32}, 16, 128, 1, 1}};

std::string label(const Layer& l) {
  TextOut s;
  for (size_t i = 0; i < l.in.size(); ++i) s << (i ? "+" : "") << l.in[i];
  s << " -> " << l.out << ", " << l.size << "x" << l.size << ", " << l.kernel << "x" << l.kernel;
  return s.str();
}

Tensor random(const Arena& arena, const Shape& shape, Rng& rng) {
  const Tensor t = arena.empty(shape, DType::f32);
  for (int64_t i = 0; i < t.numel(); ++i) t.data<float>()[i] = float(rng.uniform(-1, 1));
  return t;
}

// One layer with everything that its three passes need.
class Subject {
 public:
  Subject(const Layer& l, int64_t batch)
      : op_(int(l.in.size()), true, {1, l.kernel / 2, 1}), arena_("bench") {
    Rng rng(1);
    int64_t cin = 0;
    for (int64_t c : l.in) {
      x_.push_back(random(arena_, {batch, l.size, l.size, c}, rng));
      cin += c;
    }
    x_.push_back(random(arena_, {l.kernel, l.kernel, cin, l.out}, rng));
    x_.push_back(random(arena_, {l.out}, rng));
    y_ = random(arena_, {batch, l.size, l.size, l.out}, rng);
    for (const Tensor& t : x_) {
      shapes_.push_back(t.shape());
      dx_.push_back(arena_.zeros(t.shape(), DType::f32));
    }
    const double pixels = double(batch * l.size * l.size);
    flop_ = 2. * double(l.kernel * l.kernel * cin * l.out) * pixels;
    bytes_ = 4. * (pixels * double(cin + l.out) + double(l.kernel * l.kernel * cin * l.out));
  }
  double flop() const { return flop_; }
  double bytes() const { return bytes_; }  // each operand once

  void prepare() {
    workspace_ = Tensor();
    workspace_ = arena_.empty({int64_t(op_.workspace(shapes_, DType::f32, Device::cpu))}, DType::u8);
  }
  void forward() { op_.forward({x_, y_, {}, workspace_}); }
  void data() { backward(0, x_.size() - 2); }
  void weight() { backward(x_.size() - 2, x_.size()); }

 private:
  void backward(size_t begin, size_t end) {
    std::vector<GradOut> wanted(x_.size());
    for (size_t i = begin; i < end; ++i) wanted[i] = {dx_[i], false};
    op_.backward({x_, y_, {}, y_, wanted, workspace_});
  }
  Conv2d op_;
  Arena arena_;
  std::vector<Tensor> x_, dx_;
  Shapes shapes_;
  Tensor y_, workspace_;
  double flop_, bytes_;
};

}  // namespace

std::vector<KernelTime> measure_kernels(
    int64_t batch, const std::vector<std::string>& names, double seconds) {
  std::vector<KernelTime> all;
  const Kernels before = kernels();
  for (const Layer& l : kLayers) {
    Subject subject(l, batch);
    for (const std::string& name : names) {
      set_kernels(parse_kernels(name));
      subject.prepare();
      const auto time = [&](const char* pass, auto run) {
        all.push_back(
            {label(l), pass, name, l.times, subject.flop(), subject.bytes(), shortest(seconds, run)});
      };
      time("forward", [&] { subject.forward(); });
      if (l.in[0] > 1)
        time("data gradient", [&] { subject.data(); });  // nobody asks for the image's gradient
      time("weight gradient", [&] { subject.weight(); });
    }
  }
  set_kernels(before);
  return all;
}

}  // namespace patchcl::bench
