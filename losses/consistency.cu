#include "losses/consistency.h"
#include "losses/labels.h"
#include "tensor/cuda_runtime.cuh"

namespace patchcl {

namespace {

template <class T> void launch_forward(const Forward& f) {
  const int64_t pixels = f.x[0].shape().rows(), channels = f.x[0].shape()[-1];
  const T *p = f.x[0].data<T>(), *t = f.x[1].data<T>(), *weight = weight_of<T>(f.x);
  T* y = f.y.data<T>();
  cuda::reduce(
      pixels, f.workspace.raw(),
      [=] __device__(int64_t i) {
        double s = 0;
        for (int64_t k = i * channels; k < (i + 1) * channels; ++k)
          s += double(p[k] - t[k]) * double(p[k] - t[k]);
        return weight ? double(weight[i]) * s : s;
      },
      [=] __device__(double sum) { y[0] = T(sum / double(pixels * channels)); });
}

// d = factor * dy/dp: factor 1 for p, -1 for the target.
template <class T> void launch_backward(const Backward& b, const GradOut& out, T factor) {
  if (!out) return;
  const int64_t channels = b.x[0].shape()[-1], n = b.x[0].numel();
  const T *p = b.x[0].data<T>(), *t = b.x[1].data<T>(), *weight = weight_of<T>(b.x), *dy = b.dy.data<T>();
  T* d = out.t.data<T>();
  const bool accumulate = out.accumulate;
  const double scale = 2 / double(n);
  cuda::for_each(n, [=] __device__(int64_t e) {
    const T g = factor * T(scale * double(dy[0]));
    store(d[e], (weight ? g * weight[e / channels] : g) * (p[e] - t[e]), accumulate);
  });
}

}  // namespace

void MeanSquaredError::forward_cuda(const Forward& f) const {
  dispatch(f.y.dtype(), [&](auto zero) { launch_forward<decltype(zero)>(f); });
}

void MeanSquaredError::backward_cuda(const Backward& b) const {
  dispatch(b.dy.dtype(), [&](auto zero) {
    using T = decltype(zero);
    launch_backward<T>(b, b.dx[0], T(1));
    launch_backward<T>(b, b.dx[1], T(-1));
  });
}

}  // namespace patchcl
