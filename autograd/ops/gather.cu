#include "autograd/ops/gather.h"
#include "tensor/cuda_runtime.cuh"

namespace patchcl {

namespace {

template <class T> void launch_forward(const Forward& f) {
  const int64_t rows = f.x[0].shape()[0], width = f.x[0].shape()[1];
  const T* x = f.x[0].data<T>();
  const int32_t* index = f.x[1].data<int32_t>();
  T* y = f.y.data<T>();
  cuda::for_each(f.y.numel(), [=] __device__(int64_t e) {
    const int32_t row = index[e / width];
    y[e] = row >= 0 && row < rows ? x[row * width + e % width] : T(NAN);
  });
}

template <class T> void launch_backward(const Backward& b) {
  const GradOut& out = b.dx[0];
  const int64_t width = out.t.shape()[1], n = b.x[1].numel();
  const int32_t* index = b.x[1].data<int32_t>();
  const T* dy = b.dy.data<T>();
  T* dx = out.t.data<T>();
  const bool accumulate = out.accumulate;
  cuda::for_each(out.t.numel(), [=] __device__(int64_t e) {
    const int64_t row = e / width, j = e % width;
    T sum = accumulate ? dx[e] : T(0);  // added in the order of i, as on the CPU
    for (int64_t i = 0; i < n; ++i)
      if (index[i] == row) sum += dy[i * width + j];
    dx[e] = sum;
  });
}

}  // namespace

void GatherRows::forward_cuda(const Forward& f) const {
  dispatch(f.y.dtype(), [&](auto zero) { launch_forward<decltype(zero)>(f); });
}

void GatherRows::backward_cuda(const Backward& b) const {
  if (b.dx[0]) dispatch(b.dy.dtype(), [&](auto zero) { launch_backward<decltype(zero)>(b); });
}

}  // namespace patchcl
