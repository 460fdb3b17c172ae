#include "autograd/ops/arith.h"
#include "tensor/cuda_runtime.cuh"

namespace patchcl {

namespace {

template <class T, class F>
void launch_forward(F f, const Forward& p) {
  const T *a = p.x[0].data<T>(), *b = p.x[1].data<T>();
  T* y = p.y.data<T>();
  cuda::for_each(p.y.numel(), [=] __device__(int64_t i) { y[i] = f.f(a[i], b[i]); });
}

template <class T, class F>
void launch_backward(F f, const Backward& p) {
  const T* dy = p.dy.data<T>();
  // What was not saved is never read: da and db ignore it.
  const T* a = F::saves.inputs ? p.x[0].data<T>() : dy;
  const T* b = F::saves.inputs ? p.x[1].data<T>() : dy;
  // One after the other: for add(x, x) both are the same memory.
  if (const GradOut& out = p.dx[0]) {
    T* da = out.t.data<T>();
    const bool accumulate = out.accumulate;
    cuda::for_each(
        p.dy.numel(), [=] __device__(int64_t i) { store(da[i], dy[i] * f.da(a[i], b[i]), accumulate); });
  }
  if (const GradOut& out = p.dx[1]) {
    T* db = out.t.data<T>();
    const bool accumulate = out.accumulate;
    cuda::for_each(
        p.dy.numel(), [=] __device__(int64_t i) { store(db[i], dy[i] * f.db(a[i], b[i]), accumulate); });
  }
}

template <class T>
void scale_forward(const Forward& p) {
  const T *x = p.x[0].data<T>(), *s = p.x[1].data<T>();
  T* y = p.y.data<T>();
  cuda::for_each(p.y.numel(), [=] __device__(int64_t i) { y[i] = s[0] * x[i]; });
}

template <class T>
void scale_backward(const Backward& p) {
  const T *x = p.x[0].data<T>(), *s = p.x[1].data<T>(), *dy = p.dy.data<T>();
  if (const GradOut& out = p.dx[0]) {
    T* dx = out.t.data<T>();
    const bool accumulate = out.accumulate;
    cuda::for_each(p.dy.numel(), [=] __device__(int64_t i) { store(dx[i], s[0] * dy[i], accumulate); });
  }
  if (const GradOut& out = p.dx[1]) {
    T* ds = out.t.data<T>();
    const bool accumulate = out.accumulate;
    cuda::reduce(
        p.dy.numel(), p.workspace.raw(), [=] __device__(int64_t i) { return double(x[i]) * double(dy[i]); },
        [=] __device__(double sum) { store(ds[0], T(sum), accumulate); });
  }
}

}  // namespace

template <class F>
void Binary<F>::forward_cuda(const Forward& p) const {
  dispatch(p.y.dtype(), [&](auto zero) { launch_forward<decltype(zero)>(F(), p); });
}
template <class F>
void Binary<F>::backward_cuda(const Backward& p) const {
  dispatch(p.dy.dtype(), [&](auto zero) { launch_backward<decltype(zero)>(F(), p); });
}
void Scale::forward_cuda(const Forward& p) const {
  dispatch(p.y.dtype(), [&](auto zero) { scale_forward<decltype(zero)>(p); });
}
void Scale::backward_cuda(const Backward& p) const {
  dispatch(p.dy.dtype(), [&](auto zero) { scale_backward<decltype(zero)>(p); });
}

template class Binary<Add>;
template class Binary<Sub>;
template class Binary<Mul>;

}  // namespace patchcl
