#include "autograd/ops/entropy_gate.h"

#include "tensor/parallel.h"

namespace patchcl {

Shape EntropyGate::shape(const Shapes& x) const {
  bool fit = x.size() == 2 && x[0].rank() >= 1 && x[0].rank() == x[1].rank() && x[1][-1] >= 1;
  for (int i = 0; fit && i + 1 < x[0].rank(); ++i) fit = x[0][i] == x[1][i];
  require(fit, name(), "wants features (..,C) and logits (..,M), got ", x.at(0), " and ", x.at(1));
  return x[0];
}

namespace {
constexpr int64_t kPixels = kChunk / 16;  // of a chunk: a pixel has many channels
}

// One loop is both the reference and the fast kernel: the logarithms of two logits are cheap beside a
// convolution.
void EntropyGate::forward_cpu(const Forward& f) const {
  const int64_t C = f.x[0].shape()[-1], M = f.x[1].shape()[-1];
  dispatch(f.y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T *x = f.x[0].data<T>(), *a = f.x[1].data<T>();
    T* y = f.y.data<T>();
    const auto pixels = [=](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) gate_pixel(x + i * C, a + i * M, C, M, y + i * C);
    };
    parallel_chunks(f.x[1].numel() / M, pixels, kPixels);
  });
}

void EntropyGate::backward_cpu(const Backward& b) const {
  const int64_t C = b.dy.shape()[-1], M = b.x[1].shape()[-1];
  dispatch(b.dy.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T *x = b.x[0].data<T>(), *a = b.x[1].data<T>(), *dy = b.dy.data<T>();
    const GateGradients<T> to = gate_gradients<T>(b.dx[0], b.dx[1]);
    const auto pixels = [=](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) to.pixel(x + i * C, a + i * M, dy + i * C, C, M, i);
    };
    parallel_chunks(b.x[1].numel() / M, pixels, kPixels);
  });
}

Var entropy_gate(const Var& x, const Var& logits, Loc loc) {
  return x.tape().apply(std::make_shared<EntropyGate>(), {x, logits}, loc);
}

}  // namespace patchcl
