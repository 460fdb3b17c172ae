#include "autograd/ops/mean.h"

#include "tensor/parallel.h"

namespace patchcl {

Shape Mean::shape(const Shapes& x) const {
  require(x.size() == 1 && x[0].numel() > 0, name(), "takes 1 tensor with elements, got ", x.at(0));
  return {1};
}

// One loop is both the reference and the fast kernel: sums in double, in fixed chunks.
void Mean::forward_cpu(const Forward& p) const {
  dispatch(p.y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* x = p.x[0].data<T>();
    const int64_t n = p.x[0].numel();
    p.y.data<T>()[0] = T(1 / double(n) * chunked_sum<double>(n, [&](int64_t i) { return x[i]; }));
  });
}

void Mean::backward_cpu(const Backward& p) const {
  if (!p.dx[0]) return;
  dispatch(p.dy.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const int64_t n = p.dx[0].t.numel();
    const T g = T(1 / double(n) * double(p.dy.data<T>()[0]));
    T* dx = p.dx[0].t.data<T>();
    parallel_chunks(n, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) store(dx[i], g, p.dx[0].accumulate);
    });
  });
}

Var mean(const Var& x, Loc loc) { return x.tape().apply(std::make_shared<Mean>(), {x}, loc); }

}  // namespace patchcl
