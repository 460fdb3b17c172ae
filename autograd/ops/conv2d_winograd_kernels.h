// Winograd convolution F(4x4, 3x3): 3x3, padding 1, stride 1, channels in multiples of 16.
//
// Lavin, Gray, "Fast algorithms for convolutional neural networks", CVPR 2016. A 4x4 tile of y needs a 6x6
// tile d of x:
//   y = A^T [ (G w G^T) o (B^T d B) ] A            o: elementwise, summed over input channels
// 36 products per channel pair instead of 16 * 9 = 144. A, B and G interpolate at the points p = 0, +-a,
// +-b and infinity, with M(t) = t (t^2 - a^2) (t^2 - b^2):
//   row p of G: (1, p, p^2) / M'(p);   of B^T: the coefficients of M(t) / (t - p);
//   column p of A^T: (1, p, p^2, p^3)
// a = 1/sqrt(2), b = sqrt(2) round better than the customary 1 and 2. The elementwise products of all tiles
// are 36 matrix products, one for each pair of points k:
//   M[k] = V[k] U[k],   V = B^T d B  (tiles, Cin),   U = G w G^T  (Cin, Cout),   M  (tiles, Cout)
// dx is the forward pass of dy with the weight flipped and its channels exchanged. And, as V and U enter
// linearly,
//   dw = G^T [ sum over tiles of V[k]^T Z[k] ] G,   Z = A dy A^T  (tiles, Cout).
// The transforms add numbers of different size, so results round more coarsely than direct sums: up to 1.2e-5
// of max|y|, for dw 1.6e-4 of max|dw|. Tiles at the right and bottom edge read zeros and write only what
// exists.
//
// Maps X in f32, or in bf16: then V, U and Z are rounded to bf16 too, whose products take half the time and
// whose matrices half the memory; the transforms, the sums, the weight and its gradient stay f32. The
// transforms spread a factor's rounding of 2^-9 over the tile, so results are off by about 1 % of their root
// mean square (direct sums of bf16 would be by a quarter of that and take as long as f32 here).
#pragma once
#include "autograd/ops/conv2d_kernels.h"
#include "tensor/simd.h"

namespace patchcl {

// ---- drivers: cut the work by shape, run it on all threads ----

namespace winograd {

// `blocks`: the channels of every data input are a multiple of 16.
bool can(const Conv2dSizes& s, bool blocks);
size_t workspace(const Conv2dSizes& s);  // bytes, enough for each of the passes
template <class X> void forward(
    const Conv2dSizes& s, ConvSources<const X> x, const float* w, const ConvEnd& end, X* y, float* workspace);
template <class X>
void backward_data(const Conv2dSizes& s, const X* dy, const float* w, ConvSources<X> dx, float* workspace);
template <class X> void backward_weight(
    const Conv2dSizes& s, ConvSources<const X> x, const X* dy, ConvGrad dw, ConvGrad db, float* workspace);

}  // namespace winograd

// ---- kernels: one thread, compiled per instruction set ----

// Tiles [first, first + count) of the batch, counted along rows, then down the image, then over images.
struct WinogradTiles {
  int64_t h, w, first, count;
  CONV_INLINE int64_t across() const { return (w + 3) / 4; }
  CONV_INLINE int64_t per_image() const { return across() * ((h + 3) / 4); }
};

// How a transformed operand is kept, in cells of 4 bytes: f32; or bf16 in pairs of neighbours along the index
// that its product sums over, the even one in the lower half: channels of a row, or rows of a channel.
enum class WinogradForm { f32, bf16_channels, bf16_rows };

// A transformed operand: 36 matrices, the cell of (row, channel) of point k at data[k * point + row * pitch +
// channel]; with pairs half the row or channel. `point` is no multiple of 4 KiB, or all 36 would compete for
// the same lines of the first-level cache.
template <class T> struct WinogradPoints {
  T* data;
  int64_t point, pitch;
  WinogradForm form = WinogradForm::f32;
  // The same from a row on, an even one where rows are pairs.
  CONV_INLINE WinogradPoints from_row(int64_t row) const {
    return {data + (form == WinogradForm::bf16_rows ? row / 2 : row) * pitch, point, pitch, form};
  }
};

// V of all channels; rows are tiles, counted from 0.
template <class X> struct WinogradInput {
  WinogradTiles tiles;
  ConvSources<const X> x;
  WinogradPoints<float> v;
};

// Z; adds the tiles' sums of dy to bias (channels) unless it is null.
template <class X> struct WinogradGradient {
  WinogradTiles tiles;
  const X* dy;
  int64_t channels;
  WinogradPoints<float> z;
  float* bias;
};

// U: rows and columns are the input and output channels of the pass. Tap t of (row, column) is
// w[t * tap + row * pitch + column], or, transposed, w[t * tap + column * pitch + row].
struct WinogradWeight {
  const float* w;
  int64_t tap, pitch;
  bool transposed;
  int64_t rows, columns;
  WinogradPoints<float> u;
};

// y from M, `channels` of them.
template <class X> struct WinogradOutput {
  WinogradTiles tiles;
  WinogradPoints<const float> m;
  ConvEnd end;
  X* y;  // first of the channels in the first pixel of the batch
  int64_t y_channels, channels;
  bool accumulate;
};

// dw from its transform, which comes as `groups` partial sums, `group` elements apart.
struct WinogradWeightGradient {
  WinogradPoints<const float> u;
  int64_t groups, group;
  int64_t rows, columns;
  float* dw;
  int64_t tap, pitch;
  bool accumulate;
};

FOR_EACH_ISA(template <class X> void winograd_input(const WinogradInput<X>& p);
             template <class X> void winograd_gradient(const WinogradGradient<X>& p);
             template <class X> void winograd_output(const WinogradOutput<X>& p);
             void winograd_weight(const WinogradWeight& p);
             void winograd_weight_gradient(const WinogradWeightGradient& p);)

}  // namespace patchcl
