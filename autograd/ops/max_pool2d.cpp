#include "autograd/ops/max_pool2d.h"

#include <algorithm>

#include "autograd/ops/max_pool2d_kernels.h"
#include "autograd/ops/row_kernels.h"
#include "tensor/bfloat16.h"
#include "tensor/parallel.h"

namespace patchcl {

namespace {

// The naive rows, any type and any number of channels; max_pool2d.simd.cpp has the fast ones.
struct NaivePool {
  // `top` and `bottom` are the two rows of x under a row of n windows.
  template <class T>
  static void pool_row(const T* top, const T* bottom, int64_t n, int64_t channels, T* y, uint8_t* choice) {
    for (int64_t j = 0; j < n; ++j, top += 2 * channels, bottom += 2 * channels)
      for (int64_t c = 0; c < channels; ++c, ++y, ++choice) {
        const T x[4] = {top[c], top[channels + c], bottom[c], bottom[channels + c]};
        *choice = 0;
        for (uint8_t k = 1; k < 4; ++k)
          if (x[k] > x[*choice]) *choice = k;
        *y = x[*choice];
      }
  }
  template <class T> static void unpool_row(
      const T* dy, const uint8_t* choice, int side, int64_t n, int64_t channels, T* dx, bool accumulate) {
    for (int64_t j = 0; j < n; ++j, dy += channels, choice += channels)
      for (int k = 2 * side; k < 2 * side + 2; ++k, dx += channels)
        for (int64_t c = 0; c < channels; ++c) store(dx[c], choice[c] == k ? dy[c] : T(0), accumulate);
  }
};

template <class X> struct FastPool {
  void (*pool_row)(const X*, const X*, int64_t, int64_t, X*, uint8_t*) = ISA_PICK(pool_row<X>);
  void (*unpool_row)(const X*, const uint8_t*, int, int64_t, int64_t, X*, bool) = ISA_PICK(unpool_row<X>);
};

}  // namespace

Shape MaxPool2d::shape(const Shapes& x) const {
  require(x.size() == 1 && x[0].rank() == 4 && x[0][1] >= 2 && x[0][2] >= 2, name(),
      "takes one image (N,H,W,C) of at least 2x2 pixels, got ", x.at(0));
  return {x[0][0], x[0][1] / 2, x[0][2] / 2, x[0][3]};
}

void MaxPool2d::forward_cpu(const Forward& p) const {
  dispatch_data(p.y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const Shape &in = p.x[0].shape(), &out = p.y.shape();
    const int64_t row = in[2] * in[3], out_row = out[2] * out[3];
    with_row_kernels<T, FastPool, NaivePool>(out[3], [&](const auto& kernels) {
      parallel_for(out[0] * out[1], [&](int64_t r) {
        const T* top = p.x[0].data<T>() + (r / out[1] * in[1] + r % out[1] * 2) * row;
        kernels.pool_row(top, top + row, out[2], out[3], p.y.data<T>() + r * out_row,
            p.aux[0].data<uint8_t>() + r * out_row);
      });
    });
  });
}

void MaxPool2d::backward_cpu(const Backward& p) const {
  if (!p.dx[0]) return;
  dispatch_data(p.dy.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const bool accumulate = p.dx[0].accumulate;
    const Shape &in = p.x[0].shape(), &out = p.dy.shape();
    const int64_t row = in[2] * in[3], out_row = out[2] * out[3];
    with_row_kernels<T, FastPool, NaivePool>(out[3], [&](const auto& kernels) {
      parallel_for(in[0] * in[1], [&](int64_t r) {
        const int64_t i = r % in[1] / 2, at = (r / in[1] * out[1] + i) * out_row;
        const int64_t windows = i < out[1] ? out[2] : 0;  // over this row; what they leave gets no gradient
        T* dx = p.dx[0].t.data<T>() + r * row;
        kernels.unpool_row(p.dy.data<T>() + at, p.aux[0].data<uint8_t>() + at, int(r % in[1] % 2), windows,
            out[3], dx, accumulate);
        if (!accumulate) std::fill(dx + windows * 2 * out[3], dx + row, T(0));
      });
    });
  });
}

Var max_pool2d(const Var& x, Loc loc) { return x.tape().apply(std::make_shared<MaxPool2d>(), {x}, loc); }

}  // namespace patchcl
