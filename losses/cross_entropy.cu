#include "losses/cross_entropy.h"
#include "losses/labels.h"
#include "tensor/cuda_runtime.cuh"

namespace patchcl {

namespace {

// One thread per pixel.
template <class T> void launch_forward(const Forward& f, double on_last) {
  const LabelledPixels<T> x(f.x, on_last);
  T *lse = f.aux[0].data<T>(), *y = f.y.data<T>();
  cuda::reduce(
      x.count, f.workspace.raw(),
      [=] __device__(int64_t i) -> double {
        const T* z = x.p + i * x.classes;
        T m = z[0];
        for (int64_t k = 1; k < x.classes; ++k) m = z[k] > m ? z[k] : m;
        double s = 0;
        for (int64_t k = 0; k < x.classes; ++k) s += double(std::exp(z[k] - m));
        lse[i] = m + T(std::log(s));
        if (x.label[i] >= x.classes) return NAN;
        return double(x.w(i)) * double(lse[i] - z[x.label[i]]);
      },
      [=] __device__(double sum) { y[0] = T(sum / double(x.count)); });
}

template <class T> void launch_backward(const Backward& b, double on_last) {
  const LabelledPixels<T> x(b.x, on_last);
  const T *lse = b.aux[0].data<T>(), *dy = b.dy.data<T>();
  T* dz = b.dx[0].t.data<T>();
  const bool accumulate = b.dx[0].accumulate;
  const double scale = 1 / double(x.count);
  cuda::for_each(x.count, [=] __device__(int64_t i) {
    const T gw = T(scale * double(dy[0])) * x.w_or_nan(i);
    for (int64_t k = i * x.classes; k < (i + 1) * x.classes; ++k)
      store(dz[k], gw * (std::exp(x.p[k] - lse[i]) - T(k == i * x.classes + x.label[i])), accumulate);
  });
}

}  // namespace

void CrossEntropy::forward_cuda(const Forward& f) const {
  dispatch(f.y.dtype(), [&](auto zero) { launch_forward<decltype(zero)>(f, on_last_); });
}

void CrossEntropy::backward_cuda(const Backward& b) const {
  if (b.dx[0]) dispatch(b.dy.dtype(), [&](auto zero) { launch_backward<decltype(zero)>(b, on_last_); });
}

}  // namespace patchcl
