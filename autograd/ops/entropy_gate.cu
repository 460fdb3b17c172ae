#include "autograd/ops/entropy_gate.h"
#include "tensor/cuda_runtime.cuh"

namespace patchcl {

namespace {

// One thread for each pixel.
template <class T> void launch_forward(const Forward& f) {
  const int64_t C = f.x[0].shape()[-1], M = f.x[1].shape()[-1];
  const T *x = f.x[0].data<T>(), *a = f.x[1].data<T>();
  T* y = f.y.data<T>();
  cuda::for_each(f.x[1].numel() / M, [=] __device__(int64_t i) {
    const T gate = T(2 - PixelEntropy(a + i * M, M).share(M));
    for (int64_t c = i * C; c < (i + 1) * C; ++c) y[c] = gate * x[c];
  });
}

template <class T> void launch_backward(const Backward& b) {
  const int64_t C = b.dy.shape()[-1], M = b.x[1].shape()[-1];
  const T *x = b.x[0].data<T>(), *a = b.x[1].data<T>(), *dy = b.dy.data<T>();
  T* dx = b.dx[0] ? b.dx[0].t.data<T>() : nullptr;
  T* da = b.dx[1] ? b.dx[1].t.data<T>() : nullptr;
  const bool add_x = b.dx[0].accumulate, add_a = b.dx[1].accumulate;
  cuda::for_each(b.x[1].numel() / M, [=] __device__(int64_t i) {
    const PixelEntropy h(a + i * M, M);
    const T gate = T(2 - h.share(M));
    double dh = 0;
    for (int64_t c = i * C; c < (i + 1) * C; ++c) dh -= double(x[c]) * double(dy[c]);
    for (int64_t c = i * C; dx && c < (i + 1) * C; ++c) store(dx[c], T(gate * dy[c]), add_x);
    for (int64_t m = 0; da && m < M; ++m) store(da[i * M + m], T(dh * h.slope(a + i * M, m, M)), add_a);
  });
}

}  // namespace

void EntropyGate::forward_cuda(const Forward& f) const {
  dispatch(f.y.dtype(), [&](auto zero) { launch_forward<decltype(zero)>(f); });
}

void EntropyGate::backward_cuda(const Backward& b) const {
  dispatch(b.dy.dtype(), [&](auto zero) { launch_backward<decltype(zero)>(b); });
}

}  // namespace patchcl
