#include "losses/cross_entropy.h"
#include "tensor/cuda_runtime.cuh"

namespace patchcl {

namespace {

// One thread per pixel. A label outside the classes makes the loss and its pixel's gradient NaN: nothing may
// wait here, and the anomaly pass finds it.
template <class T>
void launch_forward(const Forward& f) {
  const int64_t pixels = f.x[1].numel(), classes = f.x[0].shape()[-1];
  const T *logits = f.x[0].data<T>(), *weight = f.x.size() > 2 ? f.x[2].data<T>() : nullptr;
  const uint8_t* label = f.x[1].data<uint8_t>();
  T *lse = f.aux[0].data<T>(), *y = f.y.data<T>();
  cuda::reduce(
      pixels, f.workspace.raw(),
      [=] __device__(int64_t i) -> double {
        const T* z = logits + i * classes;
        T m = z[0];
        for (int64_t k = 1; k < classes; ++k) m = z[k] > m ? z[k] : m;
        double s = 0;
        for (int64_t k = 0; k < classes; ++k) s += double(::exp(z[k] - m));
        lse[i] = m + T(::log(s));
        if (label[i] >= classes) return NAN;
        return (weight ? double(weight[i]) : 1.) * double(lse[i] - z[label[i]]);
      },
      [=] __device__(double sum) { y[0] = T(sum / double(pixels)); });
}

template <class T>
void launch_backward(const Backward& b) {
  const int64_t pixels = b.x[1].numel(), classes = b.x[0].shape()[-1];
  const T *z = b.x[0].data<T>(), *weight = b.x.size() > 2 ? b.x[2].data<T>() : nullptr,
          *lse = b.aux[0].data<T>(), *dy = b.dy.data<T>();
  const uint8_t* label = b.x[1].data<uint8_t>();
  T* dz = b.dx[0].t.data<T>();
  const bool accumulate = b.dx[0].accumulate;
  const double scale = 1 / double(pixels);
  cuda::for_each(pixels, [=] __device__(int64_t i) {
    const T gw = label[i] < classes ? T(scale * double(dy[0])) * (weight ? weight[i] : T(1)) : T(NAN);
    for (int64_t k = 0; k < classes; ++k)
      store(dz[i * classes + k], gw * (::exp(z[i * classes + k] - lse[i]) - T(k == label[i])), accumulate);
  });
}

}  // namespace

void CrossEntropy::forward_cuda(const Forward& f) const {
  dispatch(f.y.dtype(), [&](auto zero) { launch_forward<decltype(zero)>(f); });
}

void CrossEntropy::backward_cuda(const Backward& b) const {
  if (b.dx[0]) dispatch(b.dy.dtype(), [&](auto zero) { launch_backward<decltype(zero)>(b); });
}

}  // namespace patchcl
