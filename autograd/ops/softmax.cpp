#include "autograd/ops/softmax.h"

#include <algorithm>
#include <cmath>

#include "autograd/ops/softmax_fast.h"
#include "tensor/constant.h"
#include "tensor/device.h"
#include "tensor/parallel.h"

namespace patchcl {

namespace {

Shape same_shape(const char* name, const Shapes& x) {
  require(x.size() == 1 && x[0].rank() > 0 && x[0].numel() > 0, name, "takes 1 tensor with elements, got ",
      x.at(0));
  return x[0];
}

// fn(row begin, row end) over the rows of `shape`, about kChunk numbers at a time.
template <class F>
void parallel_rows(const Shape& shape, F&& fn) {
  parallel_chunks(shape.rows(), fn, std::max<int64_t>(1, kChunk / shape[-1]));
}

template <class T>
struct MaxSum {
  T max;
  double sum;
};  // of a row: m and sum_j e^(x_j - m)

template <class T>
MaxSum<T> max_sum(const T* x, int64_t classes) {
  const T m = *std::max_element(x, x + classes);
  double s = 0;
  for (int64_t k = 0; k < classes; ++k) s += double(std::exp(x[k] - m));
  return {m, s};
}

template <class T>
void softmax_rows_any(const T* x, T* y, int64_t rows, int64_t classes) {
  for (; rows-- > 0; x += classes, y += classes) {
    const auto [m, s] = max_sum(x, classes);
    const T scale = T(1 / s);
    for (int64_t k = 0; k < classes; ++k) y[k] = std::exp(x[k] - m) * scale;
  }
}

template <class T>
void softmax_rows(const T* x, T* y, int64_t rows, int64_t classes) {
  int64_t done = 0;
  if constexpr (std::is_same_v<T, float>)
    if (kernels() != Kernels::naive && fast_classes(classes)) {
      done = rows / kBlockRows * kBlockRows;
      ISA_PICK(softmax_rows)(x, y, done, classes);
    }
  softmax_rows_any(x + done * classes, y + done * classes, rows - done, classes);
}

template <class T>
void log_softmax_rows(const T* x, T* y, int64_t rows, int64_t classes) {
  for (; rows-- > 0; x += classes, y += classes) {
    const auto [m, s] = max_sum(x, classes);
    const T log_s = T(std::log(s));
    for (int64_t k = 0; k < classes; ++k) y[k] = x[k] - m - log_s;
  }
}

// One loop is both the reference and the fast kernel; K may be a constant for the compiler to unroll.
template <class T, class K>
void softmax_grad_rows(const T* y, const T* dy, T* dx, bool accumulate, int64_t rows, K classes) {
  for (; rows-- > 0; y += classes, dy += classes, dx += classes) {
    double dot = 0;
    for (int64_t k = 0; k < classes; ++k) dot += double(dy[k]) * double(y[k]);
    for (int64_t k = 0; k < classes; ++k) store(dx[k], T(y[k] * (dy[k] - dot)), accumulate);
  }
}

template <class T>
void log_softmax_grad_rows(const T* y, const T* dy, T* dx, bool accumulate, int64_t rows, int64_t classes) {
  for (; rows-- > 0; y += classes, dy += classes, dx += classes) {
    double sum = 0;
    for (int64_t k = 0; k < classes; ++k) sum += double(dy[k]);
    for (int64_t k = 0; k < classes; ++k) store(dx[k], T(dy[k] - std::exp(y[k]) * sum), accumulate);
  }
}

}  // namespace

Shape Softmax::shape(const Shapes& x) const { return same_shape(name(), x); }
Shape LogSoftmax::shape(const Shapes& x) const { return same_shape(name(), x); }

void Softmax::forward_cpu(const Forward& p) const {
  dispatch(p.y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* x = p.x[0].data<T>();
    T* y = p.y.data<T>();
    const int64_t classes = p.y.shape()[-1];
    parallel_rows(p.y.shape(), [&](int64_t begin, int64_t end) {
      softmax_rows(x + begin * classes, y + begin * classes, end - begin, classes);
    });
  });
}

void Softmax::backward_cpu(const Backward& p) const {
  if (!p.dx[0]) return;
  dispatch(p.dy.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T *y = p.y.data<T>(), *dy = p.dy.data<T>();
    T* dx = p.dx[0].t.data<T>();
    const int64_t classes = p.dy.shape()[-1];
    parallel_rows(p.dy.shape(), [&](int64_t begin, int64_t end) {
      const int64_t at = begin * classes;
      with_constant(classes,
          [&](auto k) { softmax_grad_rows(y + at, dy + at, dx + at, p.dx[0].accumulate, end - begin, k); });
    });
  });
}

void LogSoftmax::forward_cpu(const Forward& p) const {
  dispatch(p.y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* x = p.x[0].data<T>();
    T* y = p.y.data<T>();
    const int64_t classes = p.y.shape()[-1];
    parallel_rows(p.y.shape(), [&](int64_t begin, int64_t end) {
      log_softmax_rows(x + begin * classes, y + begin * classes, end - begin, classes);
    });
  });
}

void LogSoftmax::backward_cpu(const Backward& p) const {
  if (!p.dx[0]) return;
  dispatch(p.dy.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T *y = p.y.data<T>(), *dy = p.dy.data<T>();
    T* dx = p.dx[0].t.data<T>();
    const int64_t classes = p.dy.shape()[-1];
    parallel_rows(p.dy.shape(), [&](int64_t begin, int64_t end) {
      const int64_t at = begin * classes;
      log_softmax_grad_rows(y + at, dy + at, dx + at, p.dx[0].accumulate, end - begin, classes);
    });
  });
}

Var softmax(const Var& x, Loc loc) { return x.tape().apply(std::make_shared<Softmax>(), {x}, loc); }
Var log_softmax(const Var& x, Loc loc) { return x.tape().apply(std::make_shared<LogSoftmax>(), {x}, loc); }

}  // namespace patchcl
