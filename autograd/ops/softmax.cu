#include "autograd/ops/softmax.h"
#include "tensor/cuda_runtime.cuh"

namespace patchcl {

namespace {

// One row each: the formulas of softmax.h, sums in double, as in softmax.cpp.

template <class T>
struct SoftmaxRow {
  const T* x;
  T* y;
  int64_t classes;
  bool logarithm;
  template <int kLanes>
  __device__ void operator()(int64_t row, cuda::Lanes<kLanes> lanes) const {
    const T* in = x + row * classes;
    T* out = y + row * classes;
    T m = in[lanes.lane < classes ? lanes.lane : 0];
    for (int64_t k = lanes.lane; k < classes; k += kLanes) m = in[k] > m ? in[k] : m;
    m = lanes.max(m);
    double s = 0;
    for (int64_t k = lanes.lane; k < classes; k += kLanes) s += double(::exp(in[k] - m));
    s = lanes.sum(s);
    const T scale = T(1 / s), log_s = T(::log(s));
    for (int64_t k = lanes.lane; k < classes; k += kLanes)
      out[k] = logarithm ? in[k] - m - log_s : ::exp(in[k] - m) * scale;
  }
};

template <class T>
struct SoftmaxGradRow {
  const T *y, *dy;
  T* dx;
  int64_t classes;
  bool accumulate;
  template <int kLanes>
  __device__ void operator()(int64_t row, cuda::Lanes<kLanes> lanes) const {
    const int64_t at = row * classes;
    double dot = 0;
    for (int64_t k = lanes.lane; k < classes; k += kLanes) dot += double(dy[at + k]) * double(y[at + k]);
    dot = lanes.sum(dot);
    for (int64_t k = lanes.lane; k < classes; k += kLanes)
      store(dx[at + k], T(y[at + k] * (dy[at + k] - dot)), accumulate);
  }
};

template <class T>
struct LogSoftmaxGradRow {
  const T *y, *dy;
  T* dx;
  int64_t classes;
  bool accumulate;
  template <int kLanes>
  __device__ void operator()(int64_t row, cuda::Lanes<kLanes> lanes) const {
    const int64_t at = row * classes;
    double sum = 0;
    for (int64_t k = lanes.lane; k < classes; k += kLanes) sum += double(dy[at + k]);
    sum = lanes.sum(sum);
    for (int64_t k = lanes.lane; k < classes; k += kLanes)
      store(dx[at + k], T(dy[at + k] - ::exp(y[at + k]) * sum), accumulate);
  }
};

void launch_forward(const Forward& p, bool logarithm) {
  const Shape& s = p.y.shape();
  dispatch(p.y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    cuda::for_each_row(s.rows(), s[-1], SoftmaxRow<T>{p.x[0].data<T>(), p.y.data<T>(), s[-1], logarithm});
  });
}

template <template <class> class Row>
void launch_backward(const Backward& p) {
  const GradOut& out = p.dx[0];
  if (!out) return;
  const Shape& s = p.dy.shape();
  dispatch(p.dy.dtype(), [&](auto zero) {
    using T = decltype(zero);
    cuda::for_each_row(
        s.rows(), s[-1], Row<T>{p.y.data<T>(), p.dy.data<T>(), out.t.data<T>(), s[-1], out.accumulate});
  });
}

}  // namespace

void Softmax::forward_cuda(const Forward& p) const { launch_forward(p, false); }
void Softmax::backward_cuda(const Backward& p) const { launch_backward<SoftmaxGradRow>(p); }
void LogSoftmax::forward_cuda(const Forward& p) const { launch_forward(p, true); }
void LogSoftmax::backward_cuda(const Backward& p) const { launch_backward<LogSoftmaxGradRow>(p); }

}  // namespace patchcl
