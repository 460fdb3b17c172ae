#include "autograd/ops/upsample2x.h"

#include "autograd/ops/row_kernels.h"
#include "autograd/ops/upsample2x_kernels.h"
#include "tensor/bfloat16.h"
#include "tensor/parallel.h"

namespace patchcl {

namespace {

// The naive rows, any type and any number of channels; upsample2x.simd.cpp has the fast ones.
struct NaiveUpsample {
  template <class X>
  static void row(const X* x, const X* neighbour, Precise<X> v, int64_t w, int64_t channels, X* y) {
    using T = Precise<X>;
    const UpsampleAxis axis(w);
    for (int64_t q = 0; q < 2 * w; ++q) {
      const int64_t a = q / 2 * channels, b = axis.neighbour(q) * channels;
      const T u = T(axis.neighbour_weight(q));
      for (int64_t c = 0; c < channels; ++c)
        y[q * channels + c] = (1 - v) * ((1 - u) * x[a + c] + u * x[b + c]) +
                              v * ((1 - u) * neighbour[a + c] + u * neighbour[b + c]);
    }
  }
  template <class X> static void gather_row(
      const X* dy, const Precise<X>* v, int64_t rows, int64_t w, int64_t channels, X* dx, bool accumulate) {
    using T = Precise<X>;
    const UpsampleAxis axis(w);
    for (int64_t j = 0; j < w; ++j)
      for (int64_t c = 0; c < channels; ++c) {
        T sum = 0;
        for (int64_t r = 0; r < rows; ++r)
          for (int64_t q = axis.first(j); q <= axis.last(j); ++q)
            sum += v[r] * T(axis.weight(q, j)) * dy[(r * 2 * w + q) * channels + c];
        store(dx[j * channels + c], sum, accumulate);
      }
  }
};

template <class X> struct FastUpsample {
  void (*row)(const X*, const X*, float, int64_t, int64_t, X*) = ISA_PICK(upsample_row<X>);
  void (*gather_row)(const X*, const float*, int64_t, int64_t, int64_t, X*, bool) = ISA_PICK(
      upsample_gather_row<X>);
};

}  // namespace

Shape Upsample2x::shape(const Shapes& x) const {
  require(x.size() == 1 && x[0].rank() == 4 && x[0].numel() > 0, name(), "takes one image (N,H,W,C), got ",
      x.at(0));
  return {x[0][0], 2 * x[0][1], 2 * x[0][2], x[0][3]};
}

void Upsample2x::forward_cpu(const Forward& p) const {
  dispatch_data(p.y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const Shape& s = p.x[0].shape();
    const int64_t h = s[1], row = s[2] * s[3];
    const UpsampleAxis axis(h);
    with_row_kernels<T, FastUpsample, NaiveUpsample>(s[3], [&](const auto& kernels) {
      parallel_for(s[0] * 2 * h, [&](int64_t r) {
        const int64_t o = r % (2 * h);
        const T* image = p.x[0].data<T>() + r / (2 * h) * h * row;
        kernels.row(image + o / 2 * row, image + axis.neighbour(o) * row,
            Precise<T>(axis.neighbour_weight(o)), s[2], s[3], p.y.data<T>() + r * 2 * row);
      });
    });
  });
}

void Upsample2x::backward_cpu(const Backward& p) const {
  if (!p.dx[0]) return;
  dispatch_data(p.dy.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const Shape& s = p.x[0].shape();
    const int64_t h = s[1], row = s[2] * s[3];
    const UpsampleAxis axis(h);
    with_row_kernels<T, FastUpsample, NaiveUpsample>(s[3], [&](const auto& kernels) {
      parallel_for(s[0] * h, [&](int64_t r) {
        const int64_t i = r % h, first = axis.first(i), rows = axis.last(i) - first + 1;
        Precise<T> v[4];
        for (int64_t k = 0; k < rows; ++k) v[k] = Precise<T>(axis.weight(first + k, i));
        kernels.gather_row(p.dy.data<T>() + (r / h * 2 * h + first) * 2 * row, v, rows, s[2], s[3],
            p.dx[0].t.data<T>() + r * row, p.dx[0].accumulate);
      });
    });
  });
}

Var upsample2x(const Var& x, Loc loc) { return x.tape().apply(std::make_shared<Upsample2x>(), {x}, loc); }

}  // namespace patchcl
