#include "autograd/ops/entropy_gate.h"

#include "tensor/parallel.h"

namespace patchcl {

Shape EntropyGate::shape(const Shapes& x) const {
  bool fit = x.size() == 2 && x[0].rank() >= 1 && x[0].rank() == x[1].rank() && x[1][-1] >= 1;
  for (int i = 0; fit && i + 1 < x[0].rank(); ++i) fit = x[0][i] == x[1][i];
  require(fit, name(), "wants features (..,C) and logits (..,M), got ", x.at(0), " and ", x.at(1));
  return x[0];
}

// One loop is both the reference and the fast kernel: the logarithms of two logits are cheap beside a
// convolution.
void EntropyGate::forward_cpu(const Forward& f) const {
  const int64_t C = f.x[0].shape()[-1], M = f.x[1].shape()[-1], n = f.x[1].numel() / M;
  dispatch(f.y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T *x = f.x[0].data<T>(), *a = f.x[1].data<T>();
    T* y = f.y.data<T>();
    parallel_chunks(
        n,
        [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) {
            const T gate = T(2 - PixelEntropy(a + i * M, M).share(M));  // EQ: 3.3 gated features
            for (int64_t c = i * C; c < (i + 1) * C; ++c) y[c] = gate * x[c];
          }
        },
        kChunk / 16);
  });
}

void EntropyGate::backward_cpu(const Backward& b) const {
  const int64_t C = b.dy.shape()[-1], M = b.x[1].shape()[-1], n = b.x[1].numel() / M;
  const GradOut &dx = b.dx[0], &da = b.dx[1];
  dispatch(b.dy.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T *x = b.x[0].data<T>(), *a = b.x[1].data<T>(), *dy = b.dy.data<T>();
    parallel_chunks(
        n,
        [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) {
            const PixelEntropy h(a + i * M, M);
            const T gate = T(2 - h.share(M));
            double dh = 0;
            for (int64_t c = i * C; c < (i + 1) * C; ++c) dh -= double(x[c]) * double(dy[c]);
            for (int64_t c = i * C; dx && c < (i + 1) * C; ++c)
              store(dx.t.data<T>()[c], T(gate * dy[c]), dx.accumulate);
            for (int64_t m = 0; da && m < M; ++m)
              store(da.t.data<T>()[i * M + m], T(dh * h.slope(a + i * M, m, M)), da.accumulate);
          }
        },
        kChunk / 16);
  });
}

Var entropy_gate(const Var& x, const Var& logits, Loc loc) {
  return x.tape().apply(std::make_shared<EntropyGate>(), {x, logits}, loc);
}

}  // namespace patchcl
