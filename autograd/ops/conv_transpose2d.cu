#include "autograd/ops/conv_transpose2d.h"
#include "tensor/bfloat16.h"
#include "tensor/cuda_runtime.cuh"

namespace patchcl {

namespace {

template <class T> void join(const T* taps, const Tensor& to) {
  T* y = to.data<T>();
  const TapIndex at(to.shape());
  cuda::for_each_pixel(to.shape(), [=] __device__(int64_t n, int64_t i, int64_t j, int64_t c) {
    y[at.y(n, i, j, c)] = taps[at.tap(n, i, j, c)];
  });
}

template <class T> void split(const Tensor& from, T* taps) {
  const T* dy = from.data<T>();
  const TapIndex at(from.shape());
  cuda::for_each_pixel(from.shape(), [=] __device__(int64_t n, int64_t i, int64_t j, int64_t c) {
    taps[at.tap(n, i, j, c)] = dy[at.y(n, i, j, c)];
  });
}

}  // namespace

void ConvTranspose2d::forward_cuda(const Forward& f) const {
  const Tensor taps = taps_in(f.workspace, f.y);
  convolve(f, taps);
  dispatch_data(f.y.dtype(), [&](auto zero) { join(taps.data<decltype(zero)>(), f.y); });
}

void ConvTranspose2d::backward_cuda(const Backward& b) const {
  const Tensor taps = taps_in(b.workspace, b.dy);
  dispatch_data(b.dy.dtype(), [&](auto zero) { split(b.dy, taps.data<decltype(zero)>()); });
  convolve_back(b, taps);
}

}  // namespace patchcl
