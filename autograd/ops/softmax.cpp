#include "autograd/ops/softmax.h"

#include <algorithm>

#include "autograd/ops/softmax_kernels.h"
#include "tensor/constant.h"
#include "tensor/device.h"
#include "tensor/parallel.h"

namespace patchcl {

namespace {

// fn(row begin, row end) over the rows of `shape`, about kChunk numbers at a time.
template <class F> void parallel_rows(const Shape& shape, F&& fn) {
  parallel_chunks(shape.rows(), fn, std::max<int64_t>(1, kChunk / shape[-1]));
}

template <class Row, class T> void forward_rows(const T* x, T* y, int64_t rows, int64_t classes) {
  for (; rows-- > 0; x += classes, y += classes) {
    const T m = *std::max_element(x, x + classes);
    double sum = 0;
    for (int64_t k = 0; k < classes; ++k) sum += double(std::exp(x[k] - m));
    const T of_sum = Row::template of_sum<T>(sum);
    for (int64_t k = 0; k < classes; ++k) y[k] = Row::y(x[k], m, of_sum);
  }
}

// How many of the first rows the fast kernel has done.
template <class Row, class T> int64_t fast_rows(const T* x, T* y, int64_t rows, int64_t classes) {
  if constexpr (std::is_same_v<T, float> && std::is_same_v<Row, SoftmaxRow>)
    if (kernels() != Kernels::naive && fast_classes(classes)) {
      const int64_t done = rows / kBlockRows * kBlockRows;
      ISA_PICK(softmax_rows)(x, y, done, classes);
      return done;
    }
  return 0;
}

// One loop is both the reference and the fast kernel; K may be a constant for the compiler to unroll.
template <class Row, class T, class K>
void backward_rows(const T* y, const T* dy, T* dx, bool accumulate, int64_t rows, K classes) {
  for (; rows-- > 0; y += classes, dy += classes, dx += classes) {
    double total = 0;
    for (int64_t k = 0; k < classes; ++k) total += Row::term(y[k], dy[k]);
    for (int64_t k = 0; k < classes; ++k) store(dx[k], Row::dx(y[k], dy[k], total), accumulate);
  }
}

}  // namespace

template <class Row> void RowSoftmax<Row>::forward_cpu(const Forward& p) const {
  dispatch(p.y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const int64_t classes = p.y.shape()[-1];
    parallel_rows(p.y.shape(), [&](int64_t begin, int64_t end) {
      const T* x = p.x[0].template data<T>() + begin * classes;
      T* y = p.y.template data<T>() + begin * classes;
      const int64_t done = fast_rows<Row>(x, y, end - begin, classes);
      forward_rows<Row>(x + done * classes, y + done * classes, end - begin - done, classes);
    });
  });
}

template <class Row> void RowSoftmax<Row>::backward_cpu(const Backward& p) const {
  if (!p.dx[0]) return;
  dispatch(p.dy.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T *y = p.y.template data<T>(), *dy = p.dy.template data<T>();
    T* dx = p.dx[0].t.template data<T>();
    const int64_t classes = p.dy.shape()[-1];
    parallel_rows(p.dy.shape(), [&](int64_t begin, int64_t end) {
      const int64_t at = begin * classes;
      with_constant(classes,
          [&](auto k) { backward_rows<Row>(y + at, dy + at, dx + at, p.dx[0].accumulate, end - begin, k); });
    });
  });
}

Var softmax(const Var& x, Loc loc) { return x.tape().apply(std::make_shared<Softmax>(), {x}, loc); }
Var log_softmax(const Var& x, Loc loc) { return x.tape().apply(std::make_shared<LogSoftmax>(), {x}, loc); }

}  // namespace patchcl
