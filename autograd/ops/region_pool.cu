#include "autograd/ops/region_pool.h"
#include "tensor/cuda_runtime.cuh"

namespace patchcl {

namespace {

// One thread for each channel of a window.
template <class T> void launch_forward(const Forward& f) {
  const Shape s = f.x[0].shape();
  const int64_t N = s[0], H = s[1], W = s[2], C = s[3], P = f.x[2].shape()[1];
  const T *x = f.x[0].data<T>(), *weights = f.x[2].data<T>();
  const int32_t* windows = f.x[1].data<int32_t>();
  T* y = f.y.data<T>();
  cuda::for_each(f.y.numel(), [=] __device__(int64_t e) {
    const int64_t r = e / C, c = e % C;
    const int64_t n = windows[3 * r], top = windows[3 * r + 1], left = windows[3 * r + 2];
    const bool inside = n >= 0 && n < N && top >= 0 && top + P <= H && left >= 0 && left + P <= W;
    T sum = inside ? T(0) : T(NAN);
    for (int64_t i = 0; inside && i < P; ++i)
      for (int64_t j = 0; j < P; ++j)
        sum += weights[(r * P + i) * P + j] * x[((n * H + top + i) * W + left + j) * C + c];
    y[e] = sum;
  });
}

// One thread for each number of the map; it adds in the order of the windows, as on the CPU.
template <class T> void launch_backward(const Backward& b) {
  const GradOut& out = b.dx[0];
  const Shape s = out.t.shape();
  const int64_t H = s[1], W = s[2], C = s[3], R = b.x[1].shape()[0], P = b.x[2].shape()[1];
  const T *dy = b.dy.data<T>(), *weights = b.x[2].data<T>();
  const int32_t* windows = b.x[1].data<int32_t>();
  T* dx = out.t.data<T>();
  const bool accumulate = out.accumulate;
  cuda::for_each(out.t.numel(), [=] __device__(int64_t e) {
    const int64_t c = e % C, column = e / C % W, row = e / C / W % H, n = e / C / W / H;
    T sum = accumulate ? dx[e] : T(0);
    for (int64_t r = 0; r < R; ++r) {
      const int64_t i = row - windows[3 * r + 1], j = column - windows[3 * r + 2];
      const bool covers = windows[3 * r] == n && i >= 0 && i < P && j >= 0 && j < P;
      if (covers) sum += weights[(r * P + i) * P + j] * dy[r * C + c];
    }
    dx[e] = sum;
  });
}

}  // namespace

void RegionPool::forward_cuda(const Forward& f) const {
  dispatch(f.y.dtype(), [&](auto zero) { launch_forward<decltype(zero)>(f); });
}

void RegionPool::backward_cuda(const Backward& b) const {
  if (b.dx[0]) dispatch(b.dy.dtype(), [&](auto zero) { launch_backward<decltype(zero)>(b); });
}

}  // namespace patchcl
