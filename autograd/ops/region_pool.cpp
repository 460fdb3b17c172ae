#include "autograd/ops/region_pool.h"

#include "tensor/parallel.h"

namespace patchcl {

Shape RegionPool::shape(const Shapes& x) const {
  require(x.size() == 3 && x[0].rank() == 4 && x[1].rank() == 2 && x[1][1] == 3 && x[2].rank() == 3 &&
              x[2][0] == x[1][0] && x[2][1] == x[2][2],
      name(), "wants x (N,H,W,C), windows (R,3) and weights (R,P,P), got ", x.at(0), ", ", x.at(1), " and ",
      x.at(2));
  return {x[1][0], x[0][3]};
}

// One loop is both the reference and the fast kernel: windows are few and channels are next to each other.
void RegionPool::forward_cpu(const Forward& f) const {
  const Shape& s = f.x[0].shape();
  const int64_t C = s[3], R = f.x[1].shape()[0], P = f.x[2].shape()[1];
  const int32_t* windows = f.x[1].data<int32_t>();
  for (int64_t r = 0; r < R; ++r) {
    const int32_t *at = windows + 3 * r, n = at[0], top = at[1], left = at[2];
    require(n >= 0 && n < s[0] && top >= 0 && top + P <= s[1] && left >= 0 && left + P <= s[2], name(),
        "window ", r, " (image ", n, ", row ", top, ", column ", left, ") of side ", P, " is outside x ", s);
  }
  dispatch(f.y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T *x = f.x[0].data<T>(), *weights = f.x[2].data<T>();
    T* y = f.y.data<T>();
    parallel_for(R, [&](int64_t r) {
      const int32_t* at = windows + 3 * r;
      T* sums = y + r * C;
      for (int64_t c = 0; c < C; ++c) sums[c] = 0;
      for (int64_t i = 0; i < P; ++i)
        for (int64_t j = 0; j < P; ++j) {
          const T w = weights[(r * P + i) * P + j];
          const T* pixel = x + ((at[0] * s[1] + at[1] + i) * s[2] + at[2] + j) * C;
          for (int64_t c = 0; c < C; ++c) sums[c] += w * pixel[c];
        }
    });
  });
}

void RegionPool::backward_cpu(const Backward& b) const {
  const GradOut& out = b.dx[0];
  if (!out) return;
  const Shape& s = out.t.shape();
  const int64_t C = s[3], R = b.x[1].shape()[0], P = b.x[2].shape()[1];
  const int32_t* windows = b.x[1].data<int32_t>();
  if (!out.accumulate) fill_zero(out.t);
  dispatch(b.dy.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T *dy = b.dy.data<T>(), *weights = b.x[2].data<T>();
    T* dx = out.t.data<T>();
    parallel_for(s[0] * s[1], [&](int64_t line) {  // a row of pixels of one image
      const int64_t n = line / s[1], row = line % s[1];
      for (int64_t r = 0; r < R; ++r) {
        const int32_t* at = windows + 3 * r;
        const int64_t i = row - at[1];
        if (at[0] != n || i < 0 || i >= P) continue;
        T* pixel = dx + (line * s[2] + at[2]) * C;
        for (int64_t j = 0; j < P; ++j)
          for (int64_t c = 0; c < C; ++c) *pixel++ += weights[(r * P + i) * P + j] * dy[r * C + c];
      }
    });
  });
}

Var region_pool(const Var& x, const Var& windows, const Var& weights, Loc loc) {
  return x.tape().apply(std::make_shared<RegionPool>(), {x, windows, weights}, loc);
}

}  // namespace patchcl
