#include "autograd/ops/upsample2x.h"
#include "tensor/cuda_runtime.cuh"

namespace patchcl {

namespace {

template <class T> void launch_forward(const Forward& p) {
  using P = Precise<T>;
  const Shape& s = p.x[0].shape();
  const T* x = p.x[0].data<T>();
  T* y = p.y.data<T>();
  const int64_t channels = s[3];
  const UpsampleAxis rows(s[1]), columns(s[2]);
  cuda::for_each_pixel(p.y.shape(), [=] __device__(int64_t n, int64_t o, int64_t q, int64_t c) {
    const int64_t h = rows.n, w = columns.n;
    const P v = P(rows.neighbour_weight(o)), u = P(columns.neighbour_weight(q));
    const T *near = x + (n * h + o / 2) * w * channels + c,
            *far = x + (n * h + rows.neighbour(o)) * w * channels + c;
    const int64_t a = q / 2 * channels, b = columns.neighbour(q) * channels;
    y[((n * 2 * h + o) * 2 * w + q) * channels + c] =
        T((1 - v) * ((1 - u) * P(near[a]) + u * P(near[b])) + v * ((1 - u) * P(far[a]) + u * P(far[b])));
  });
}

template <class T> void launch_backward(const Backward& p) {
  using P = Precise<T>;
  const Shape& s = p.x[0].shape();
  const T* dy = p.dy.data<T>();
  T* dx = p.dx[0].t.data<T>();
  const bool accumulate = p.dx[0].accumulate;
  const int64_t channels = s[3];
  const UpsampleAxis rows(s[1]), columns(s[2]);
  cuda::for_each_pixel(s, [=] __device__(int64_t n, int64_t i, int64_t j, int64_t c) {
    const int64_t h = rows.n, w = columns.n;
    P sum = 0;
    for (int64_t o = rows.first(i); o <= rows.last(i); ++o)
      for (int64_t q = columns.first(j); q <= columns.last(j); ++q)
        sum +=
            P(rows.weight(o, i) * columns.weight(q, j)) * P(dy[((n * 2 * h + o) * 2 * w + q) * channels + c]);
    store(dx[((n * h + i) * w + j) * channels + c], sum, accumulate);
  });
}

}  // namespace

void Upsample2x::forward_cuda(const Forward& p) const {
  dispatch_data(p.y.dtype(), [&](auto zero) { launch_forward<decltype(zero)>(p); });
}

void Upsample2x::backward_cuda(const Backward& p) const {
  if (p.dx[0]) dispatch_data(p.dy.dtype(), [&](auto zero) { launch_backward<decltype(zero)>(p); });
}

}  // namespace patchcl
