// 3x3 convolution of maps in bf16 on the tiles of AMX (tensor/amx.h): the sums of the definition, whose
// products cost so little there that Winograd's transforms would cost more. Padding 1, stride 1, channels in
// multiples of 16.
//
// A task copies the rows of x that it reads, with zeros around them, all channels of a pixel side by side.
// Then for each of the three rows the channels of three neighbouring pixels are one line of 3 Cin numbers, of
// pixel after pixel Cin further on: a matrix A without being copied. So
//   y(pixels of a row, Cout) = sum over 3 rows of A(pixels, 3 Cin) W(3 Cin, Cout)
// with W in pairs of input channels. dx is the forward pass of dy with the weight flipped and its channels
// exchanged. For dw the sum runs over pixels: a task turns its rows of x, channel by channel, so that one
// tap's matrix begins a pixel after another's,
//   dw(tap; Cin, Cout) = sum over rows of X(Cin, pixels from the tap's on) dY(pixels, Cout)
// with dY in pairs of neighbouring pixels. Groups of rows, fixed by the shapes, leave partial sums that are
// added in order. Factors are bf16, sums f32, in an order of their own for each number, whatever the tasks.
// Against naive sums of the same factors y and dx are off by a rounding to bf16, where Winograd's are by 1 %.
#pragma once
#include "autograd/ops/conv2d_kernels.h"
#include "tensor/simd.h"

namespace patchcl {

namespace tiles {

// `blocks`: the channels of every data input are a multiple of 16.
bool can(const Conv2dSizes& s, bool blocks);
// dw: where there are few pixels to a weight, Winograd's is faster (docs/notebook.md, "Speed").
bool can_weight(const Conv2dSizes& s, bool blocks);
size_t workspace(const Conv2dSizes& s);  // bytes, enough for each of the passes
void forward(const Conv2dSizes& s, ConvSources<const bf16> x, const float* w, const ConvEnd& end, bf16* y,
    float* workspace);
void backward_data(
    const Conv2dSizes& s, const bf16* dy, const float* w, ConvSources<bf16> dx, float* workspace);
void backward_weight(const Conv2dSizes& s, ConvSources<const bf16> x, const bf16* dy, ConvGrad dw,
    ConvGrad db, float* workspace);

}  // namespace tiles

// y (pixels, channels) from finished sums; distances between pixels are sum_pitch and y_pitch.
struct FinishedPixels {
  int64_t pixels, channels;  // a multiple of 16
  const float* sum;
  int64_t sum_pitch;
  ConvEnd end;
  bf16* y;
  int64_t y_pitch;
  bool accumulate;
};
FOR_EACH_ISA(
    void finish_pixels(const FinishedPixels& p);
    // to[c * to_pitch + i] = x[i * pitch + c] for i < pixels, c < channels, a multiple of 16
    void turn_pixels(
        const bf16* x, int64_t pixels, int64_t pitch, int64_t channels, bf16* to, int64_t to_pitch);
    // Channels of pixels 2 i and 2 i + 1 as pairs, for i < pairs; pixels that do not exist are 0.
    void pair_pixels(const bf16* x, int64_t pixels, int64_t channels, uint32_t* to, int64_t pairs);
    // Sixteen channels of weights, w[c * row + o * column] of which row or column is 1, as pairs (8, cout).
    void pair_weights(const float* w, int64_t row, int64_t column, int64_t cout, uint32_t* to);)

}  // namespace patchcl
