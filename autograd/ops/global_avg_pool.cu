#include "autograd/ops/global_avg_pool.h"
#include "tensor/cuda_runtime.cuh"

namespace patchcl {

namespace {

// One thread per output: neighbours read neighbouring channels of the same pixel.
template <class T> void launch_forward(const Forward& f) {
  const Shape& s = f.x[0].shape();
  const int64_t pixels = s[1] * s[2], channels = s[3];
  const T* x = f.x[0].data<T>();
  T* y = f.y.data<T>();
  cuda::for_each(f.y.numel(), [=] __device__(int64_t e) {
    const T* first = x + e / channels * pixels * channels + e % channels;
    double sum = 0;
    for (int64_t p = 0; p < pixels; ++p) sum += double(first[p * channels]);
    y[e] = T(sum / double(pixels));
  });
}

template <class T> void launch_backward(const Backward& b) {
  const GradOut& out = b.dx[0];
  const Shape& s = out.t.shape();
  const int64_t pixels = s[1] * s[2], channels = s[3];
  const T* dy = b.dy.data<T>();
  T* dx = out.t.data<T>();
  const bool accumulate = out.accumulate;
  cuda::for_each(out.t.numel(), [=] __device__(int64_t e) {
    const int64_t image = e / (pixels * channels);
    store(dx[e], T(dy[image * channels + e % channels] / T(pixels)), accumulate);
  });
}

}  // namespace

void GlobalAvgPool::forward_cuda(const Forward& f) const {
  dispatch(f.y.dtype(), [&](auto zero) { launch_forward<decltype(zero)>(f); });
}

void GlobalAvgPool::backward_cuda(const Backward& b) const {
  if (b.dx[0]) dispatch(b.dy.dtype(), [&](auto zero) { launch_backward<decltype(zero)>(b); });
}

}  // namespace patchcl
