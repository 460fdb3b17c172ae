#include "autograd/ops/max_pool2d.h"

#include <algorithm>

#include "tensor/parallel.h"

namespace patchcl {

namespace {

// One row of windows: `top` and `bottom` are the two rows of x, `n` = W/2 windows of `channels` numbers.
template <class T>
void pool_row(const T* top, const T* bottom, T* y, uint8_t* choice, int64_t n, int64_t channels) {
  for (int64_t j = 0; j < n; ++j, top += 2 * channels, bottom += 2 * channels, y += channels, choice += channels)
    for (int64_t c = 0; c < channels; ++c) {
      T best = top[c];
      uint8_t at = 0;
      const T others[3] = {top[channels + c], bottom[c], bottom[channels + c]};
      for (uint8_t k = 0; k < 3; ++k)
        if (others[k] > best) {
          best = others[k];
          at = uint8_t(k + 1);
        }
      y[c] = best;
      choice[c] = at;
    }
}

// One row of dx, which is the upper (side 0) or lower (side 1) half of a row of windows.
template <class T>
void unpool_row(const T* dy, const uint8_t* choice, T* dx, bool accumulate, int side, int64_t n, int64_t channels) {
  for (int64_t j = 0; j < n; ++j, dy += channels, choice += channels)
    for (int k = 2 * side; k < 2 * side + 2; ++k, dx += channels)
      for (int64_t c = 0; c < channels; ++c) store(dx[c], choice[c] == k ? dy[c] : T(0), accumulate);
}

}  // namespace

Shape MaxPool2d::shape(const Shapes& x) const {
  require(x.size() == 1 && x[0].rank() == 4 && x[0][1] >= 2 && x[0][2] >= 2, name(),
          "takes one image (N,H,W,C) of at least 2x2 pixels, got ", x.at(0));
  return {x[0][0], x[0][1] / 2, x[0][2] / 2, x[0][3]};
}

void MaxPool2d::forward_cpu(const Forward& p) const {
  dispatch(p.y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* x = p.x[0].data<T>();
    T* y = p.y.data<T>();
    uint8_t* choice = p.aux[0].data<uint8_t>();
    const Shape &in = p.x[0].shape(), &out = p.y.shape();
    const int64_t row = in[2] * in[3], out_row = out[2] * out[3];
    parallel_for(out[0] * out[1], [&](int64_t r) {
      const T* top = x + (r / out[1] * in[1] + r % out[1] * 2) * row;
      pool_row(top, top + row, y + r * out_row, choice + r * out_row, out[2], out[3]);
    });
  });
}

void MaxPool2d::backward_cpu(const Backward& p) const {
  if (!p.dx[0]) return;
  dispatch(p.dy.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* dy = p.dy.data<T>();
    const uint8_t* choice = p.aux[0].data<uint8_t>();
    T* dx = p.dx[0].t.data<T>();
    const bool accumulate = p.dx[0].accumulate;
    const Shape &in = p.x[0].shape(), &out = p.dy.shape();
    const int64_t row = in[2] * in[3], out_row = out[2] * out[3];
    parallel_for(in[0] * in[1], [&](int64_t r) {
      const int64_t i = r % in[1] / 2, at = (r / in[1] * out[1] + i) * out_row;
      const int64_t covered = i < out[1] ? out[2] : 0;  // windows over this row; what they leave gets no gradient
      unpool_row(dy + at, choice + at, dx + r * row, accumulate, int(r % in[1] % 2), covered, out[3]);
      if (!accumulate) std::fill(dx + r * row + covered * 2 * out[3], dx + (r + 1) * row, T(0));
    });
  });
}

Var max_pool2d(const Var& x, Loc loc) { return x.tape().apply(std::make_shared<MaxPool2d>(), {x}, loc); }

}  // namespace patchcl
