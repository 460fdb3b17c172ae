// Kernels of conv2d_int8.h. Included by files that are compiled per instruction set (tensor/simd.h).
#pragma once
#include <functional>

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

// y (pixels, channels) = a(scale (sum - base) + shift) from finished sums; distances between pixels are
// sum_pitch and y_pitch.
template <class X> struct Int8Finish {
  int64_t pixels, channels;  // a multiple of 16
  const int32_t* sum;
  int64_t sum_pitch;
  const uint32_t* base;
  const float *scale, *shift;
  float slope;
  X* y;
  int64_t y_pitch;
};
FOR_EACH_ISA(template <class X> void finish_bytes(const Int8Finish<X>& p);)

// On the tiles of AMX (conv2d_int8_tiles.cpp): all rows of y (n,h,w,cout). The weight is one panel.
template <class X> struct Int8Maps {
  Conv2dSizes s;
  const uint32_t *words, *base;
  const float *scale, *shift;
  float slope;
  uint8_t zero;  // stands for 0
  // A row of x and a pixel of padding on either side.
  std::function<void(int64_t row, uint8_t* bytes)> quantize;
  X* y;
};
namespace int8_tiles {
bool can();
size_t workspace(const Conv2dSizes& s);  // bytes
template <class X> void forward(const Int8Maps<X>& p, uint32_t* workspace);
}  // namespace int8_tiles

}  // namespace patchcl
