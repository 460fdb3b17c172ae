#include "autograd/ops/mean.h"
#include "tensor/cuda_runtime.cuh"

namespace patchcl {

namespace {

template <class T> void launch_forward(double factor, const Forward& p) {
  const T* x = p.x[0].data<T>();
  T* y = p.y.data<T>();
  cuda::reduce(
      p.x[0].numel(), p.workspace.raw(), [=] __device__(int64_t i) { return x[i]; },
      [=] __device__(double sum) { y[0] = T(factor * sum); });
}

template <class T> void launch_backward(double factor, const Backward& p) {
  const T* dy = p.dy.data<T>();
  T* dx = p.dx[0].t.data<T>();
  const bool accumulate = p.dx[0].accumulate;
  cuda::for_each(
      p.dx[0].t.numel(), [=] __device__(int64_t i) { store(dx[i], T(factor * double(dy[0])), accumulate); });
}

}  // namespace

void Mean::forward_cuda(const Forward& p) const {
  dispatch(p.y.dtype(), [&](auto zero) { launch_forward<decltype(zero)>(1 / double(p.x[0].numel()), p); });
}

void Mean::backward_cuda(const Backward& p) const {
  if (!p.dx[0]) return;
  dispatch(
      p.dy.dtype(), [&](auto zero) { launch_backward<decltype(zero)>(1 / double(p.dx[0].t.numel()), p); });
}

}  // namespace patchcl
