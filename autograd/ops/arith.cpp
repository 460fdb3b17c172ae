#include "autograd/ops/arith.h"

#include "tensor/parallel.h"

namespace patchcl {

// One loop is both the reference and the fast kernel, as in pointwise.cpp.
template <class F>
void Binary<F>::forward_cpu(const Forward& p) const {
  dispatch(p.y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T *a = p.x[0].data<T>(), *b = p.x[1].data<T>();
    T* y = p.y.data<T>();
    parallel_chunks(p.y.numel(), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) y[i] = F().f(a[i], b[i]);
    });
  });
}

template <class F>
void Binary<F>::backward_cpu(const Backward& p) const {
  dispatch(p.dy.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* dy = p.dy.data<T>();
    // What was not saved is never read: da and db ignore it.
    const T* a = F::saves.inputs ? p.x[0].data<T>() : dy;
    const T* b = F::saves.inputs ? p.x[1].data<T>() : dy;
    const auto write = [&](const GradOut& out, auto derivative) {
      if (!out) return;
      T* d = out.t.data<T>();
      parallel_chunks(p.dy.numel(), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) store(d[i], dy[i] * derivative(a[i], b[i]), out.accumulate);
      });
    };
    // One after the other: for add(x, x) both are the same memory.
    write(p.dx[0], [](T u, T v) { return F().da(u, v); });
    write(p.dx[1], [](T u, T v) { return F().db(u, v); });
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

Var add(const Var& a, const Var& b, Loc loc) {
  return a.tape().apply(std::make_shared<Binary<Add>>(), {a, b}, loc);
}
Var sub(const Var& a, const Var& b, Loc loc) {
  return a.tape().apply(std::make_shared<Binary<Sub>>(), {a, b}, loc);
}
Var mul(const Var& a, const Var& b, Loc loc) {
  return a.tape().apply(std::make_shared<Binary<Mul>>(), {a, b}, loc);
}
Var scale(const Var& x, const Var& s, Loc loc) {
  return x.tape().apply(std::make_shared<Scale>(), {x, s}, loc);
}

}  // namespace patchcl
