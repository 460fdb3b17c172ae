#include "autograd/ops/arith.h"

#include "tensor/parallel.h"

namespace patchcl {

// One loop is both the reference and the fast kernel, as in pointwise.cpp.
void Add::forward_cpu(const Forward& p) const {
  dispatch(p.y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T *a = p.x[0].data<T>(), *b = p.x[1].data<T>();
    T* y = p.y.data<T>();
    parallel_chunks(p.y.numel(), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) y[i] = a[i] + b[i];
    });
  });
}

void Add::backward_cpu(const Backward& p) const {
  dispatch(p.dy.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* dy = p.dy.data<T>();
    for (const GradOut& out : p.dx) {  // one after the other: for add(x, x) both are the same memory
      if (!out) continue;
      T* d = out.t.data<T>();
      parallel_chunks(p.dy.numel(), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) store(d[i], dy[i], out.accumulate);
      });
    }
  });
}

void Scale::forward_cpu(const Forward& p) const {
  dispatch(p.y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T *x = p.x[0].data<T>(), s = p.x[1].data<T>()[0];
    T* y = p.y.data<T>();
    parallel_chunks(p.y.numel(), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) y[i] = s * x[i];
    });
  });
}

void Scale::backward_cpu(const Backward& p) const {
  dispatch(p.dy.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T *x = p.x[0].data<T>(), *dy = p.dy.data<T>(), s = p.x[1].data<T>()[0];
    if (const GradOut& out = p.dx[0]) {
      T* dx = out.t.data<T>();
      parallel_chunks(p.dy.numel(), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) store(dx[i], s * dy[i], out.accumulate);
      });
    }
    if (const GradOut& out = p.dx[1])
      store(out.t.data<T>()[0],
          T(chunked_sum<double>(p.dy.numel(), [&](int64_t i) { return double(x[i]) * double(dy[i]); })),
          out.accumulate);
  });
}

Var add(const Var& a, const Var& b, Loc loc) { return a.tape().apply(std::make_shared<Add>(), {a, b}, loc); }
Var scale(const Var& x, const Var& s, Loc loc) {
  return x.tape().apply(std::make_shared<Scale>(), {x, s}, loc);
}

}  // namespace patchcl
