#include "autograd/ops/l2_normalize.h"
#include "tensor/cuda_runtime.cuh"

namespace patchcl {

namespace {

template <class T> struct NormalizeRow {
  const T* x;
  T *y, *r;
  int64_t length;
  double eps;
  template <int kLanes> __device__ void operator()(int64_t row, cuda::Lanes<kLanes> lanes) const {
    const int64_t at = row * length;
    const double squares =
        lanes.total(length, [&](int64_t j) { return double(x[at + j]) * double(x[at + j]); });
    const T scale = T(1 / std::sqrt(squares + eps));
    if (lanes.lane == 0) r[row] = scale;
    lanes.each(length, [&](int64_t j) { y[at + j] = scale * x[at + j]; });
  }
};

template <class T> struct NormalizeGradRow {
  const T *y, *dy, *r;
  T* dx;
  int64_t length;
  bool accumulate;
  template <int kLanes> __device__ void operator()(int64_t row, cuda::Lanes<kLanes> lanes) const {
    const int64_t at = row * length;
    const double dot = lanes.total(length, [&](int64_t j) { return double(dy[at + j]) * double(y[at + j]); });
    lanes.each(length,
        [&](int64_t j) { store(dx[at + j], T(r[row] * (dy[at + j] - y[at + j] * dot)), accumulate); });
  }
};

}  // namespace

void L2Normalize::forward_cuda(const Forward& f) const {
  const Shape& s = f.y.shape();
  dispatch(f.y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    cuda::for_each_row(
        s.rows(), s[-1], NormalizeRow<T>{f.x[0].data<T>(), f.y.data<T>(), f.aux[0].data<T>(), s[-1], eps_});
  });
}

void L2Normalize::backward_cuda(const Backward& b) const {
  const GradOut& out = b.dx[0];
  if (!out) return;
  const Shape& s = b.dy.shape();
  dispatch(b.dy.dtype(), [&](auto zero) {
    using T = decltype(zero);
    cuda::for_each_row(s.rows(), s[-1],
        NormalizeGradRow<T>{
            b.y.data<T>(), b.dy.data<T>(), b.aux[0].data<T>(), out.t.data<T>(), s[-1], out.accumulate});
  });
}

}  // namespace patchcl
