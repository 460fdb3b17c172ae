#include "autograd/ops/l2_normalize.h"

#include <algorithm>
#include <cmath>

#include "tensor/parallel.h"

namespace patchcl {

Shape L2Normalize::shape(const Shapes& x) const {
  require(x.size() == 1 && x[0].rank() > 0 && x[0].numel() > 0, name(), "takes 1 tensor with elements, got ",
      x.at(0));
  return x[0];
}

// One loop is both the reference and the fast kernel: rows are few (patch embeddings).
void L2Normalize::forward_cpu(const Forward& f) const {
  dispatch(f.y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* x = f.x[0].data<T>();
    T *y = f.y.data<T>(), *r = f.aux[0].data<T>();
    const int64_t length = f.y.shape()[-1];
    parallel_chunks(
        f.y.shape().rows(),
        [&](int64_t begin, int64_t end) {
          for (int64_t row = begin; row < end; ++row) {
            const T* v = x + row * length;
            double squares = 0;
            for (int64_t j = 0; j < length; ++j) squares += double(v[j]) * double(v[j]);
            r[row] = T(1 / std::sqrt(squares + eps_));
            for (int64_t j = 0; j < length; ++j) y[row * length + j] = r[row] * v[j];
          }
        },
        std::max<int64_t>(1, kChunk / length));
  });
}

void L2Normalize::backward_cpu(const Backward& b) const {
  if (!b.dx[0]) return;
  dispatch(b.dy.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T *y = b.y.data<T>(), *dy = b.dy.data<T>(), *r = b.aux[0].data<T>();
    T* dx = b.dx[0].t.data<T>();
    const int64_t length = b.dy.shape()[-1];
    parallel_chunks(
        b.dy.shape().rows(),
        [&](int64_t begin, int64_t end) {
          for (int64_t row = begin; row < end; ++row) {
            const int64_t at = row * length;
            double dot = 0;
            for (int64_t j = at; j < at + length; ++j) dot += double(dy[j]) * double(y[j]);
            for (int64_t j = at; j < at + length; ++j)
              store(dx[j], T(r[row] * (dy[j] - y[j] * dot)), b.dx[0].accumulate);
          }
        },
        std::max<int64_t>(1, kChunk / length));
  });
}

Var l2_normalize(const Var& x, double eps, Loc loc) {
  return x.tape().apply(std::make_shared<L2Normalize>(eps), {x}, loc);
}

}  // namespace patchcl
