#include "autograd/ops/pointwise.h"

#include "tensor/parallel.h"

namespace patchcl {

// One loop is both the reference and the fast kernel: it runs at memory speed once the compiler has
// vectorised it.
template <class F> void Pointwise<F>::forward_cpu(const Forward& p) const {
  dispatch(p.y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* x = p.x[0].template data<T>();
    T* y = p.y.template data<T>();
    parallel_chunks(p.y.numel(), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) y[i] = f_.f(x[i]);
    });
  });
}

template <class F> void Pointwise<F>::backward_cpu(const Backward& p) const {
  if (!p.dx[0]) return;
  dispatch(p.dy.dtype(), [&](auto zero) {
    using T = decltype(zero);
    // The one that was not saved is never read: df ignores it.
    const T* x = F::saves.inputs ? p.x[0].template data<T>() : p.dy.template data<T>();
    const T* y = F::saves.output ? p.y.template data<T>() : p.dy.template data<T>();
    const T* dy = p.dy.template data<T>();
    T* dx = p.dx[0].t.template data<T>();
    const bool accumulate = p.dx[0].accumulate;
    parallel_chunks(p.dy.numel(), [&](int64_t begin, int64_t end) {
      if (accumulate)
        for (int64_t i = begin; i < end; ++i) dx[i] += dy[i] * f_.df(x[i], y[i]);
      else
        for (int64_t i = begin; i < end; ++i) dx[i] = dy[i] * f_.df(x[i], y[i]);
    });
  });
}

namespace {
template <class F> Var apply(F f, const Var& x, Loc loc) {
  return x.tape().apply(std::make_shared<Pointwise<F>>(f), {x}, loc);
}
}  // namespace

Var leaky_relu(const Var& x, double slope, Loc loc) { return apply(LeakyRelu{slope}, x, loc); }
Var relu(const Var& x, Loc loc) { return apply(Relu{}, x, loc); }
Var sigmoid(const Var& x, Loc loc) { return apply(Sigmoid{}, x, loc); }
Var affine(const Var& x, double a, double b, Loc loc) { return apply(Affine{a, b}, x, loc); }

}  // namespace patchcl
