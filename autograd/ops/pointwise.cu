#include "autograd/ops/pointwise.h"
#include "tensor/cuda_runtime.cuh"

namespace patchcl {

namespace {

template <class T, class F> void launch_forward(F f, const Forward& p) {
  const T* x = p.x[0].data<T>();
  T* y = p.y.data<T>();
  cuda::for_each(p.y.numel(), [=] __device__(int64_t i) { y[i] = f.f(x[i]); });
}

template <class T, class F> void launch_backward(F f, const Backward& p) {
  // The one that was not saved is never read: df ignores it.
  const T* x = F::saves.inputs ? p.x[0].data<T>() : p.dy.data<T>();
  const T* y = F::saves.output ? p.y.data<T>() : p.dy.data<T>();
  const T* dy = p.dy.data<T>();
  T* dx = p.dx[0].t.data<T>();
  const bool accumulate = p.dx[0].accumulate;
  cuda::for_each(
      p.dy.numel(), [=] __device__(int64_t i) { store(dx[i], dy[i] * f.df(x[i], y[i]), accumulate); });
}

}  // namespace

template <class F> void Pointwise<F>::forward_cuda(const Forward& p) const {
  dispatch(p.y.dtype(), [&](auto zero) { launch_forward<decltype(zero)>(f_, p); });
}

template <class F> void Pointwise<F>::backward_cuda(const Backward& p) const {
  if (!p.dx[0]) return;
  dispatch(p.dy.dtype(), [&](auto zero) { launch_backward<decltype(zero)>(f_, p); });
}

template class Pointwise<LeakyRelu>;
template class Pointwise<Relu>;
template class Pointwise<Sigmoid>;
template class Pointwise<Affine>;

}  // namespace patchcl
