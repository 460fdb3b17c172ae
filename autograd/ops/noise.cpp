#include "autograd/ops/noise.h"

#include <algorithm>
#include <cmath>

#include "tensor/parallel.h"

namespace patchcl {

Shape Noise::shape(const Shapes& x) const {
  require(x.size() == 2 && x[1] == Shape{2}, name(), "takes x and the random state (2), got ", x.size(),
      " inputs");
  return x[0];
}

// One loop is both the reference and the fast kernel.
void Noise::forward_cpu(const Forward& f) const {
  dispatch(f.y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* x = f.x[0].data<T>();
    T* y = f.y.data<T>();
    const int64_t* rng = f.x[1].data<int64_t>();
    const uint64_t seed = uint64_t(rng[0]), step = uint64_t(rng[1]);
    parallel_chunks(f.y.numel(), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const double u = to_unit(random_bits(seed, step, site_, uint64_t(2 * i)));
        const double v = to_unit(random_bits(seed, step, site_, uint64_t(2 * i + 1)));
        const double n = std::sqrt(-2 * std::log(u)) * std::cos(6.283185307179586 * v);
        y[i] = x[i] + T(std::clamp(sigma_ * n, -limit_, limit_));  // EQ: 4.4 teacher input noise
      }
    });
  });
}

void Noise::backward_cpu(const Backward& b) const {
  if (!b.dx[0]) return;
  dispatch(b.dy.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* dy = b.dy.data<T>();
    T* dx = b.dx[0].t.data<T>();
    parallel_chunks(b.dy.numel(), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) store(dx[i], dy[i], b.dx[0].accumulate);
    });
  });
}

Var noise(const Var& x, const Var& rng, double sigma, double limit, uint32_t site, Loc loc) {
  return x.tape().apply(std::make_shared<Noise>(sigma, limit, site), {x, rng}, loc);
}

}  // namespace patchcl
