#include "autograd/ops/entropy_gate.h"
#include "tensor/cuda_runtime.cuh"

namespace patchcl {

namespace {

// One thread for each pixel.
template <class T> void launch_forward(const Forward& f) {
  const int64_t C = f.x[0].shape()[-1], M = f.x[1].shape()[-1];
  const T *x = f.x[0].data<T>(), *a = f.x[1].data<T>();
  T* y = f.y.data<T>();
  cuda::for_each(
      f.x[1].numel() / M, [=] __device__(int64_t i) { gate_pixel(x + i * C, a + i * M, C, M, y + i * C); });
}

template <class T> void launch_backward(const Backward& b) {
  const int64_t C = b.dy.shape()[-1], M = b.x[1].shape()[-1];
  const T *x = b.x[0].data<T>(), *a = b.x[1].data<T>(), *dy = b.dy.data<T>();
  const GateGradients<T> to = gate_gradients<T>(b.dx[0], b.dx[1]);
  cuda::for_each(
      b.x[1].numel() / M, [=] __device__(int64_t i) { to.pixel(x + i * C, a + i * M, dy + i * C, C, M, i); });
}

}  // namespace

void EntropyGate::forward_cuda(const Forward& f) const {
  dispatch(f.y.dtype(), [&](auto zero) { launch_forward<decltype(zero)>(f); });
}

void EntropyGate::backward_cuda(const Backward& b) const {
  dispatch(b.dy.dtype(), [&](auto zero) { launch_backward<decltype(zero)>(b); });
}

}  // namespace patchcl
