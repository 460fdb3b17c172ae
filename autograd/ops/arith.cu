#include "autograd/ops/arith.h"
#include "tensor/cuda_runtime.cuh"

namespace patchcl {

namespace {

template <class T> void add_forward(const Forward& p) {
  const T *a = p.x[0].data<T>(), *b = p.x[1].data<T>();
  T* y = p.y.data<T>();
  cuda::for_each(p.y.numel(), [=] __device__(int64_t i) { y[i] = a[i] + b[i]; });
}

template <class T> void add_backward(const Backward& p) {
  const T* dy = p.dy.data<T>();
  for (const GradOut& out : p.dx) {  // one after the other: for add(x, x) both are the same memory
    if (!out) continue;
    T* d = out.t.data<T>();
    const bool accumulate = out.accumulate;
    cuda::for_each(p.dy.numel(), [=] __device__(int64_t i) { store(d[i], dy[i], accumulate); });
  }
}

template <class T> void scale_forward(const Forward& p) {
  const T *x = p.x[0].data<T>(), *s = p.x[1].data<T>();
  T* y = p.y.data<T>();
  cuda::for_each(p.y.numel(), [=] __device__(int64_t i) { y[i] = s[0] * x[i]; });
}

template <class T> void scale_backward(const Backward& p) {
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

void Add::forward_cuda(const Forward& p) const {
  dispatch(p.y.dtype(), [&](auto zero) { add_forward<decltype(zero)>(p); });
}
void Add::backward_cuda(const Backward& p) const {
  dispatch(p.dy.dtype(), [&](auto zero) { add_backward<decltype(zero)>(p); });
}
void Scale::forward_cuda(const Forward& p) const {
  dispatch(p.y.dtype(), [&](auto zero) { scale_forward<decltype(zero)>(p); });
}
void Scale::backward_cuda(const Backward& p) const {
  dispatch(p.dy.dtype(), [&](auto zero) { scale_backward<decltype(zero)>(p); });
}

}  // namespace patchcl
