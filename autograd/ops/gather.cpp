#include "autograd/ops/gather.h"

#include <algorithm>
#include <bit>

#include "tensor/parallel.h"

namespace patchcl {

Shape GatherRows::shape(const Shapes& x) const {
  require(x.size() == 2 && x[0].rank() == 2 && x[1].rank() == 1, name(), "wants x (M,D) and index (n), got ",
      x.at(0), " and ", x.at(1));
  return {x[1][0], x[0][1]};
}

size_t GatherRows::workspace(const Shapes& x, DType, Device device) const {
  return device == Device::cuda ? std::bit_ceil(uint64_t(x[1].numel())) * sizeof(int64_t) : 0;
}

// One loop is both the reference and the fast kernel.
void GatherRows::forward_cpu(const Forward& f) const {
  const int64_t rows = f.x[0].shape()[0], width = f.x[0].shape()[1], n = f.x[1].numel();
  const int32_t* index = f.x[1].data<int32_t>();
  for (int64_t i = 0; i < n; ++i)
    require(index[i] >= 0 && index[i] < rows, name(), "index ", index[i], " at ", i, " is outside x ",
        f.x[0].shape());
  dispatch(f.y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* x = f.x[0].data<T>();
    T* y = f.y.data<T>();
    parallel_for(n, [&](int64_t i) { std::copy_n(x + index[i] * width, width, y + i * width); });
  });
}

void GatherRows::backward_cpu(const Backward& b) const {
  const GradOut& out = b.dx[0];
  if (!out) return;
  const int64_t rows = out.t.shape()[0], width = out.t.shape()[1], n = b.x[1].numel();
  const int32_t* index = b.x[1].data<int32_t>();
  if (!out.accumulate) fill_zero(out.t);
  dispatch(b.dy.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* dy = b.dy.data<T>();
    T* dx = out.t.data<T>();
    parallel_chunks(
        rows,
        [&](int64_t begin, int64_t end) {
          for (int64_t i = 0; i < n; ++i)
            if (index[i] >= begin && index[i] < end)
              for (int64_t j = 0; j < width; ++j) dx[index[i] * width + j] += dy[i * width + j];
        },
        std::max<int64_t>(1, kChunk / std::max<int64_t>(1, width)));
  });
}

Var gather_rows(const Var& x, const Var& index, Loc loc) {
  return x.tape().apply(std::make_shared<GatherRows>(), {x, index}, loc);
}

}  // namespace patchcl
