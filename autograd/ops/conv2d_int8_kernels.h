// Kernels of conv2d_int8.h. Included by files that are compiled per instruction set (tensor/simd.h).
#pragma once
#include "autograd/ops/conv2d_kernels.h"
#include "tensor/hd.h"
#include "tensor/simd.h"

namespace patchcl {

// How numbers become bytes: clamp(rint(x inverse) + zero, 0, 255); inverse is 1 / step.
template <class T> struct Quantisation {
  T step, inverse;
  int32_t zero;
};

// x (n) -> bytes (n). A number that is none counts as the smallest.
FOR_EACH_ISA(template <class X> void quantize(const X* x, int64_t n, Quantisation<float> q, uint8_t* bytes);)

// The weight lies in panels of 64, 32 and 16 columns, one after the other: words (9 cin / 4, columns) of four
// rows each.
struct Int8Panel {
  int64_t begin, columns;
};
// That of column o.
CONV_INLINE Int8Panel panel_of(int64_t o, int64_t cout) {
  const int64_t wide = cout / 64 * 64, middle = (cout - wide) / 32 * 32;
  if (o < wide) return {o / 64 * 64, 64};
  if (o < wide + middle) return {wide, 32};
  return {wide + middle, 16};
}

// 16 columns of a weight (rows, cout), rows a multiple of 4: `words` (rows / 4, 16), `pitch` words between
// rows; step (16), and sum (16), of the bytes of each column; the step is NaN where a number is none.
FOR_EACH_ISA(void quantize_weight(
    const float* w, int64_t rows, int64_t cout, uint32_t* words, int64_t pitch, float* step, uint32_t* sum);)

// One row (w, cout) of y = a(scale (sum - base) + shift) from the three rows of x about it, as bytes
// (w + 2, cin) with a pixel of padding on either side.
template <class X> struct Int8Row {
  const uint8_t* rows[3];
  const uint32_t *words, *base;
  const float *scale, *shift;
  float slope;
  int64_t w, cin, cout;
  X* y;
};
FOR_EACH_ISA(template <class X> void int8_row(const Int8Row<X>& p);)

}  // namespace patchcl
