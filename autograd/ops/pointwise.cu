#include "autograd/ops/pointwise.h"
#include "tensor/bfloat16.h"
#include "tensor/cuda_runtime.cuh"

namespace patchcl {

namespace {

template <class X, class F> void launch_forward(F f, const Forward& p) {
  using T = Precise<X>;
  const X* x = p.x[0].data<X>();
  X* y = p.y.data<X>();
  cuda::for_each(p.y.numel(), [=] __device__(int64_t i) { y[i] = X(f.f(T(x[i]))); });
}

template <class X, class F> void launch_backward(F f, const Backward& p) {
  using T = Precise<X>;
  // The one that was not saved is never read: df ignores it.
  const X* x = F::saves.inputs ? p.x[0].data<X>() : p.dy.data<X>();
  const X* y = F::saves.output ? p.y.data<X>() : p.dy.data<X>();
  const X* dy = p.dy.data<X>();
  X* dx = p.dx[0].t.data<X>();
  const bool accumulate = p.dx[0].accumulate;
  cuda::for_each(p.dy.numel(),
      [=] __device__(int64_t i) { store(dx[i], T(dy[i]) * f.df(T(x[i]), T(y[i])), accumulate); });
}

}  // namespace

template <class F> void Pointwise<F>::forward_cuda(const Forward& p) const {
  dispatch_data(p.y.dtype(), [&](auto zero) { launch_forward<decltype(zero)>(f_, p); });
}

template <class F> void Pointwise<F>::backward_cuda(const Backward& p) const {
  if (!p.dx[0]) return;
  dispatch_data(p.dy.dtype(), [&](auto zero) { launch_backward<decltype(zero)>(f_, p); });
}

template class Pointwise<LeakyRelu>;
template class Pointwise<Relu>;
template class Pointwise<Sigmoid>;
template class Pointwise<Affine>;

}  // namespace patchcl
