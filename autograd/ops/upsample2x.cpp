#include "autograd/ops/upsample2x.h"

#include <algorithm>

#include "tensor/parallel.h"

namespace patchcl {

Shape Upsample2x::shape(const Shapes& x) const {
  require(x.size() == 1 && x[0].rank() == 4 && x[0].numel() > 0, name(), "takes one image (N,H,W,C), got ", x.at(0));
  return {x[0][0], 2 * x[0][1], 2 * x[0][2], x[0][3]};
}

void Upsample2x::forward_cpu(const Forward& p) const {
  dispatch(p.y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const Shape& in = p.x[0].shape();
    const int64_t h = in[1], w = in[2], channels = in[3], row = w * channels;
    parallel_for(in[0] * 2 * h, [&](int64_t r) {
      const UpsampleTap v = upsample_tap(r % (2 * h), h);
      const T* top = p.x[0].data<T>() + (r / (2 * h) * h + v.i) * row;
      const T* bottom = v.i + 1 < h ? top + row : top;
      T* y = p.y.data<T>() + r * 2 * row;
      for (int64_t q = 0; q < 2 * w; ++q, y += channels) {
        const UpsampleTap u = upsample_tap(q, w);
        const int64_t left = u.i * channels, right = u.i + 1 < w ? left + channels : left;
        const T wa = T((1 - v.t) * (1 - u.t)), wb = T((1 - v.t) * u.t), wc = T(v.t * (1 - u.t)), wd = T(v.t * u.t);
        for (int64_t c = 0; c < channels; ++c)
          y[c] = wa * top[left + c] + wb * top[right + c] + wc * bottom[left + c] + wd * bottom[right + c];
      }
    });
  });
}

void Upsample2x::backward_cpu(const Backward& p) const {
  if (!p.dx[0]) return;
  dispatch(p.dy.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const Shape& in = p.x[0].shape();
    const int64_t h = in[1], w = in[2], channels = in[3], row = w * channels;
    parallel_for(in[0] * h, [&](int64_t r) {
      const int64_t i = r % h;
      const UpsampleRange rows = upsample_outputs(i, h);
      const T* dy = p.dy.data<T>() + r / h * 2 * h * 2 * row;
      T* dx = p.dx[0].t.data<T>() + r * row;
      for (int64_t j = 0; j < w; ++j, dx += channels) {
        if (!p.dx[0].accumulate) std::fill(dx, dx + channels, T(0));
        const UpsampleRange columns = upsample_outputs(j, w);
        for (int64_t o = rows.begin; o < rows.end; ++o)
          for (int64_t q = columns.begin; q < columns.end; ++q) {
            const T a = T(upsample_weight(o, i, h) * upsample_weight(q, j, w));
            for (int64_t c = 0; c < channels; ++c) dx[c] += a * dy[(o * 2 * w + q) * channels + c];
          }
      }
    });
  });
}

Var upsample2x(const Var& x, Loc loc) { return x.tape().apply(std::make_shared<Upsample2x>(), {x}, loc); }

}  // namespace patchcl
