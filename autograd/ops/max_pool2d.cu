#include "autograd/ops/max_pool2d.h"
#include "tensor/cuda_runtime.cuh"

namespace patchcl {

namespace {

template <class T> void launch_forward(const Forward& p) {
  const Shape in = p.x[0].shape(), out = p.y.shape();
  const T* x = p.x[0].data<T>();
  T* y = p.y.data<T>();
  uint8_t* choice = p.aux[0].data<uint8_t>();
  const int64_t h = in[1], w = in[2], channels = in[3], oh = out[1], ow = out[2];
  cuda::for_each_pixel(out, [=] __device__(int64_t n, int64_t i, int64_t j, int64_t c) {
    const int64_t e = ((n * oh + i) * ow + j) * channels + c;
    const T* window = x + ((n * h + 2 * i) * w + 2 * j) * channels + c;
    T best = window[0];
    uint8_t at = 0;
    for (uint8_t k = 1; k < 4; ++k) {
      const T v = window[(k / 2 * w + k % 2) * channels];
      if (v > best) {
        best = v;
        at = k;
      }
    }
    y[e] = best;
    choice[e] = at;
  });
}

template <class T> void launch_backward(const Backward& p) {
  const Shape in = p.x[0].shape(), out = p.dy.shape();
  const T* dy = p.dy.data<T>();
  const uint8_t* choice = p.aux[0].data<uint8_t>();
  T* dx = p.dx[0].t.data<T>();
  const bool accumulate = p.dx[0].accumulate;
  const int64_t h = in[1], w = in[2], channels = in[3], oh = out[1], ow = out[2];
  cuda::for_each_pixel(in, [=] __device__(int64_t n, int64_t a, int64_t b, int64_t c) {
    const int64_t e = ((n * h + a) * w + b) * channels + c;
    T d = T(0);
    if (a / 2 < oh && b / 2 < ow) {
      const int64_t window = ((n * oh + a / 2) * ow + b / 2) * channels + c;
      if (choice[window] == a % 2 * 2 + b % 2) d = dy[window];
    }
    store(dx[e], d, accumulate);
  });
}

}  // namespace

void MaxPool2d::forward_cuda(const Forward& p) const {
  dispatch_data(p.y.dtype(), [&](auto zero) { launch_forward<decltype(zero)>(p); });
}

void MaxPool2d::backward_cuda(const Backward& p) const {
  if (p.dx[0]) dispatch_data(p.dy.dtype(), [&](auto zero) { launch_backward<decltype(zero)>(p); });
}

}  // namespace patchcl
