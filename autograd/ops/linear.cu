#include "autograd/ops/linear.h"
#include "autograd/ops/matmul.h"
#include "tensor/cuda_runtime.cuh"

namespace patchcl {

namespace {

template <class T> void launch_forward(const Forward& f) {
  const int64_t n = f.y.shape()[0], out = f.y.shape()[1], in = f.x[0].shape()[1];
  const bool bias = f.x.size() > 2;
  T* y = f.y.data<T>();
  if (bias) {
    const T* b = f.x[2].data<T>();
    cuda::for_each(n * out, [=] __device__(int64_t e) { y[e] = b[e % out]; });
  }
  multiply(
      Device::cuda, false, false, n, out, in, f.x[0].data<T>(), f.x[1].data<T>(), /*accumulate=*/bias, y);
}

template <class T> void launch_backward(const Backward& p) {
  const T *x = p.x[0].data<T>(), *w = p.x[1].data<T>(), *dy = p.dy.data<T>();
  const int64_t n = p.dy.shape()[0], out = p.dy.shape()[1], in = p.x[0].shape()[1];
  if (const GradOut& dx = p.dx[0])
    multiply(Device::cuda, false, true, n, in, out, dy, w, dx.accumulate, dx.t.data<T>());
  if (const GradOut& dw = p.dx[1])
    multiply(Device::cuda, true, false, in, out, n, x, dy, dw.accumulate, dw.t.data<T>());
  if (p.dx.size() > 2 && p.dx[2]) {
    T* db = p.dx[2].t.data<T>();
    const bool accumulate = p.dx[2].accumulate;
    cuda::for_each(out, [=] __device__(int64_t o) {
      double sum = 0;
      for (int64_t i = 0; i < n; ++i) sum += double(dy[i * out + o]);
      store(db[o], T(sum), accumulate);
    });
  }
}

}  // namespace

void Linear::forward_cuda(const Forward& f) const {
  dispatch(f.y.dtype(), [&](auto zero) { launch_forward<decltype(zero)>(f); });
}

void Linear::backward_cuda(const Backward& p) const {
  dispatch(p.dy.dtype(), [&](auto zero) { launch_backward<decltype(zero)>(p); });
}

}  // namespace patchcl
