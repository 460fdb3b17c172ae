#include "autograd/ops/cast.h"

#include "tensor/parallel.h"

namespace patchcl {

namespace {
void convert(const Tensor& from, const Tensor& to, bool accumulate) {
  dispatch_data(from.dtype(), [&](auto a) {
    dispatch_data(to.dtype(), [&](auto b) {
      const auto* x = from.data<decltype(a)>();
      auto* y = to.data<decltype(b)>();
      using Y = decltype(b);
      parallel_chunks(to.numel(), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) store(y[i], Precise<Y>(x[i]), accumulate);
      });
    });
  });
}
}  // namespace

void Cast::forward_cpu(const Forward& f) const { convert(f.x[0], f.y, false); }
void Cast::backward_cpu(const Backward& b) const {
  if (b.dx[0]) convert(b.dy, b.dx[0].t, b.dx[0].accumulate);
}

Var cast(const Var& x, DType to, Loc loc) {
  if (x.dtype() == to || x.dtype() == DType::f64) return x;
  return x.tape().apply(std::make_shared<Cast>(to), {x}, loc);
}

Var widened(const Var& map, Loc loc) { return cast(map, precise(map.dtype()), loc); }

}  // namespace patchcl
