// Direct convolution with 3x3 kernels of stride 1 and padding 1: the sums of the definition, in
// registers. Maps X in f32 or bf16; weight, sums and parameters' gradients in f32.
//
// 3x3 forward. A register tile holds the sums of P neighbouring pixels times 16 or 32 output channels. For
// each kernel row and input channel it loads the three taps' weights and broadcasts each of the P + 2 pixels
// to its up to three taps: 3P multiply-adds per vector for P + 2 + 3 loads. Tiles at the image's left and
// right edge leave out the taps outside; where the width is no multiple of P the last tile overlaps its
// neighbour and writes only its own pixels. dx is the forward pass of dy with the weight flipped and its
// channels transposed.
// Fewer than 16 output channels (the network's head): sums run over vectors of input channels, 4 outputs at a
// time.
//
// dw. A register tile holds the three taps of a kernel row times 16 channels of one operand times a few
// of the other, while the image streams by. Groups of rows, fixed by the shapes, leave partial sums that are
// added in order.
#pragma once
#include "autograd/ops/conv2d_kernels.h"
#include "tensor/simd.h"

namespace patchcl {

// ---- drivers: cut the work by shape, run it on all threads ----

namespace direct {

// True where the kernels can run: vectors need channels in multiples of 16 on one side of the products.
// `blocks` says that the channels of every data input are.
bool can(const Conv2dSizes& s, bool blocks);
bool can_scale(const Conv2dSizes& s);

size_t workspace(const Conv2dSizes& s);  // bytes, enough for each of the passes
// `end` may have a scale where can_scale().
template <class X> void forward(
    const Conv2dSizes& s, ConvSources<const X> x, const float* w, const ConvEnd& end, X* y, float* workspace);
template <class X>
void backward_data(const Conv2dSizes& s, const X* dy, const float* w, ConvSources<X> dx, float* workspace);
// dw, and db, which costs little while dy is in the cache.
template <class X> void backward_weight(
    const Conv2dSizes& s, ConvSources<const X> x, const X* dy, ConvGrad dw, ConvGrad db, float* workspace);
// The groups' partial gradients, added in order. `transposed`: the partial sums are (tap, Cout, Cin).
void sum_groups(const Conv2dSizes& s, int64_t groups, const float* partial, bool transposed, ConvGrad dw);
void sum_bias(const Conv2dSizes& s, int64_t groups, const double* partial, ConvGrad db);

}  // namespace direct

// ---- kernels: one thread, one image, compiled per instruction set ----

// 3x3: `channels` (16 or 32) outputs of rows [row_begin, row_end) of one image.
template <class X> struct DirectForward {
  int64_t h, w, image;
  ConvSources<const X> x;
  const float* weight;  // packed (3, Cin, 3, channels)
  ConvEnd end;
  X* y;                // first of the outputs in pixel (0,0) of this image
  int64_t y_channels;  // distance between pixels
  bool accumulate;
  int64_t row_begin, row_end;
};

// 3x3: up to 4 outputs; packed weight (3, 3, 4, Cin), bias (4 times 4), no scale, with zeros in place of
// outputs that do not exist; the sources' channels are multiples of 16.
template <class X> struct DirectNarrow {
  DirectForward<X> p;
  int outputs;
};

// 3x3: adds to sum[tap * tap_stride + c * channel_stride + lane] the products of 16 channels of `vectors`
// (the lanes) and `channels` channels c of `scalars`, one of which is x, the other dy, over the rows
// [row_begin, row_end) of dy.
template <class X> struct DirectWeight {
  int64_t h, w, row_begin, row_end;
  bool vectors_are_dy;
  const X* vectors;
  int64_t vector_pitch;  // channels of the tensor: the distance between pixels
  const X* scalars;
  int64_t scalar_pitch, channels;
  float* sum;
  int64_t tap_stride, channel_stride;
};

FOR_EACH_ISA(template <class X> void direct_forward(const DirectForward<X>& p, int channels);
             template <class X> void direct_narrow(const DirectNarrow<X>& p);
             template <class X> void direct_weight(const DirectWeight<X>& p);
             // sum[c] += sum over pixels of dy[pixel * pitch + c], c < channels
             template <class X>
             void direct_bias(const X* dy, int64_t pixels, int64_t pitch, int64_t channels, double* sum);)

}  // namespace patchcl
