// What the CPU kernels of conv2d share: sizes, and data inputs that are read as one concatenation.
// Included by files that are compiled per instruction set, so no standard headers here (tensor/simd.h).
// Their few functions are always inlined, or the linker could keep a copy compiled for AVX-512 for everybody.
#pragma once
#include <cstdint>

#define CONV_INLINE inline __attribute__((always_inline))

namespace patchcl {

// One convolution, derived from the shapes: x (n,h,w,cin), weight (kh,kw,cin,cout), y (n,oh,ow,cout).
struct Conv2dSizes {
  int64_t n, h, w, cin, oh, ow, cout, kh, kw;
  int64_t stride, padding, dilation;
  CONV_INLINE int64_t taps() const { return kh * kw; }
  CONV_INLINE int64_t weights() const { return taps() * cin * cout; }
  CONV_INLINE Conv2dSizes exchanged() const {  // inputs and outputs, as the backward pass for data has them
    Conv2dSizes s = *this;
    s.cin = cout;
    s.cout = cin;
    return s;
  }
  CONV_INLINE bool same(int64_t kernel) const {  // a square kernel with stride 1 and y as large as x
    return kh == kernel && kw == kernel && stride == 1 && padding == kernel / 2 &&
           (dilation == 1 || kernel == 1);
  }
};

// One tensor (N,H,W,count) of a concatenation: its channels are [begin, begin + count) of the whole.
template <class T> struct ConvSource {
  T* data;  // null: nobody wants this gradient
  int64_t begin, count;
  bool accumulate = false;
};

// The tensors of a concatenation, in order.
constexpr int kMaxConvSources = 4;
template <class T> struct ConvSources {
  const ConvSource<T>* first;
  int count;
  CONV_INLINE const ConvSource<T>* begin() const { return first; }
  CONV_INLINE const ConvSource<T>* end() const { return first + count; }
  CONV_INLINE int64_t channels() const { return first[count - 1].begin + first[count - 1].count; }
};

// What becomes of a finished sum, per output channel: y = sum + bias, or, with a scale, y = a(scale sum +
// bias), where a is leaky ReLU (conv2d_norm_act.h).
struct ConvEnd {
  const float* bias = nullptr;
  const float* scale = nullptr;
  float slope = 1;
  CONV_INLINE ConvEnd from(int64_t channel) const {
    return {bias ? bias + channel : nullptr, scale ? scale + channel : nullptr, slope};
  }
};

// Where a weight or bias gradient goes; null when nobody wants it.
struct ConvGrad {
  float* data = nullptr;
  bool accumulate = false;
};

// Instantiates the passes that conv2d_direct, conv2d_matrix and conv2d_winograd have alike, for maps X.
#define CONV_PASSES_FOR(X)                                                                                   \
  template void forward(const Conv2dSizes&, ConvSources<const X>, const float*, const ConvEnd&, X*, float*); \
  template void backward_data(const Conv2dSizes&, const X*, const float*, ConvSources<X>, float*);           \
  template void backward_weight(                                                                             \
      const Conv2dSizes&, ConvSources<const X>, const X*, ConvGrad, ConvGrad, float*);

}  // namespace patchcl
