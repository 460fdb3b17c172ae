#include "autograd/ops/channel_dropout.h"

#include "tensor/parallel.h"

namespace patchcl {

namespace {
// to = m from / (1 - p), one row of pixels after the other.
template <class T> void scale_channels(
    const Tensor& from, const Tensor& rng, DropoutSite where, const Tensor& to, bool accumulate) {
  const Shape& s = from.shape();
  const int64_t C = s[3], width = s[2];
  const T* x = from.data<T>();
  T* y = to.data<T>();
  const uint64_t seed = uint64_t(rng.data<int64_t>()[0]), step = uint64_t(rng.data<int64_t>()[1]);
  parallel_for(s[0] * s[1], [&](int64_t line) {
    const int64_t n = line / s[1];
    for (int64_t c = 0; c < C; ++c) {
      const bool kept = random_bits(seed, step, where.site, uint64_t(n * C + c)) >= where.threshold();
      const T factor = kept ? T(where.scale()) : T(0);
      for (int64_t i = (line * width) * C + c; i < (line + 1) * width * C; i += C)
        store(y[i], factor * x[i], accumulate);
    }
  });
}
}  // namespace

ChannelDropout::ChannelDropout(DropoutSite where) : where_(where) {
  require(where.p >= 0 && where.p < 1, name(), "probability ", where.p, " is not in [0,1)");
}

Shape ChannelDropout::shape(const Shapes& x) const {
  require(x.size() == 2 && x[0].rank() == 4 && x[1] == Shape{2}, name(),
      "wants x (N,H,W,C) and the random state (2), got ", x.at(0));
  return x[0];
}

// One loop is both the reference and the fast kernel.
void ChannelDropout::forward_cpu(const Forward& f) const {
  dispatch(f.y.dtype(),
      [&](auto zero) { scale_channels<decltype(zero)>(f.x[0], f.x[1], where_, f.y, /*accumulate=*/false); });
}

void ChannelDropout::backward_cpu(const Backward& b) const {
  if (!b.dx[0]) return;
  dispatch(b.dy.dtype(), [&](auto zero) {
    scale_channels<decltype(zero)>(b.dy, b.x[1], where_, b.dx[0].t, b.dx[0].accumulate);
  });
}

Var channel_dropout(const Var& x, double p, const Var& rng, uint32_t site, Loc loc) {
  return x.tape().apply(std::make_shared<ChannelDropout>(DropoutSite{p, site}), {x, rng}, loc);
}

}  // namespace patchcl
