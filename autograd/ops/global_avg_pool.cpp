#include "autograd/ops/global_avg_pool.h"

#include <algorithm>

#include "tensor/parallel.h"

namespace patchcl {

Shape GlobalAvgPool::shape(const Shapes& x) const {
  require(x.size() == 1 && x[0].rank() == 4 && x[0].numel() > 0, name(),
      "wants x (N,H,W,C) with elements, got ", x.at(0));
  return {x[0][0], x[0][3]};
}

// One loop is both the reference and the fast kernel: blocks of channels, so that the sums stay in registers.
void GlobalAvgPool::forward_cpu(const Forward& f) const {
  constexpr int64_t kBlock = 32;
  const Shape& s = f.x[0].shape();
  const int64_t pixels = s[1] * s[2], channels = s[3], blocks = chunks(channels, kBlock);
  dispatch(f.y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    parallel_for(s[0] * blocks, [&](int64_t task) {
      const int64_t n = task / blocks, first = task % blocks * kBlock,
                    count = std::min(kBlock, channels - first);
      const T* x = f.x[0].data<T>() + n * pixels * channels + first;
      double sum[kBlock] = {};
      for (int64_t p = 0; p < pixels; ++p)
        for (int64_t c = 0; c < count; ++c) sum[c] += double(x[p * channels + c]);
      for (int64_t c = 0; c < count; ++c)
        f.y.data<T>()[n * channels + first + c] = T(sum[c] / double(pixels));
    });
  });
}

void GlobalAvgPool::backward_cpu(const Backward& b) const {
  const GradOut& out = b.dx[0];
  if (!out) return;
  const Shape& s = out.t.shape();
  const int64_t pixels = s[1] * s[2], channels = s[3];
  dispatch(b.dy.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* dy = b.dy.data<T>();
    T* dx = out.t.data<T>();
    parallel_chunks(
        s[0] * pixels,
        [&](int64_t begin, int64_t end) {
          for (int64_t p = begin; p < end; ++p)
            for (int64_t c = 0; c < channels; ++c)
              store(dx[p * channels + c], T(dy[p / pixels * channels + c] / T(pixels)), out.accumulate);
        },
        std::max<int64_t>(1, kChunk / channels));
  });
}

Var global_avg_pool(const Var& x, Loc loc) {
  return x.tape().apply(std::make_shared<GlobalAvgPool>(), {x}, loc);
}

}  // namespace patchcl
