#include "autograd/ops/softmax.h"
#include "tensor/cuda_runtime.cuh"

namespace patchcl {

namespace {

template <class T, class Row> struct SoftmaxForward {
  const T* x;
  T* y;
  int64_t classes;
  template <int kLanes> __device__ void operator()(int64_t row, cuda::Lanes<kLanes> lanes) const {
    const T* in = x + row * classes;
    T* out = y + row * classes;
    T m = in[lanes.lane < classes ? lanes.lane : 0];
    lanes.each(classes, [&](int64_t k) { m = in[k] > m ? in[k] : m; });
    m = lanes.max(m);
    const T of_sum =
        Row::template of_sum<T>(lanes.total(classes, [&](int64_t k) { return std::exp(in[k] - m); }));
    lanes.each(classes, [&](int64_t k) { out[k] = Row::y(in[k], m, of_sum); });
  }
};

template <class T, class Row> struct SoftmaxBackward {
  const T *y, *dy;
  T* dx;
  int64_t classes;
  bool accumulate;
  template <int kLanes> __device__ void operator()(int64_t row, cuda::Lanes<kLanes> lanes) const {
    const int64_t at = row * classes;
    const double total = lanes.total(classes, [&](int64_t k) { return Row::term(y[at + k], dy[at + k]); });
    lanes.each(
        classes, [&](int64_t k) { store(dx[at + k], Row::dx(y[at + k], dy[at + k], total), accumulate); });
  }
};

}  // namespace

template <class Row> void RowSoftmax<Row>::forward_cuda(const Forward& p) const {
  const Shape& s = p.y.shape();
  dispatch(p.y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    cuda::for_each_row(
        s.rows(), s[-1], SoftmaxForward<T, Row>{p.x[0].template data<T>(), p.y.template data<T>(), s[-1]});
  });
}

template <class Row> void RowSoftmax<Row>::backward_cuda(const Backward& p) const {
  const GradOut& out = p.dx[0];
  if (!out) return;
  const Shape& s = p.dy.shape();
  dispatch(p.dy.dtype(), [&](auto zero) {
    using T = decltype(zero);
    cuda::for_each_row(s.rows(), s[-1],
        SoftmaxBackward<T, Row>{p.y.template data<T>(), p.dy.template data<T>(), out.t.template data<T>(),
            s[-1], out.accumulate});
  });
}

template class RowSoftmax<SoftmaxRow>;
template class RowSoftmax<LogSoftmaxRow>;

}  // namespace patchcl
