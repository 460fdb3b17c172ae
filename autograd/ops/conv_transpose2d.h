// Transposed convolution with a 2x2 kernel and stride 2: twice the height and width, the taps do not overlap.
//
//   y[n, 2i+u, 2j+v, o] = b[o] + sum_c x[n,i,j,c] w[u,v,c,o]        u, v in {0,1}
//
// For each tap (u,v) this is a 1x1 convolution of x with w[u,v], whose image then lies on every second row
// and column of y: that is how it is computed, by Conv2d's kernels.
// Backward, with dz_uv[n,i,j,o] = dy[n,2i+u,2j+v,o]:
//   dx[n,i,j,c] = sum_{u,v,o} dz_uv[n,i,j,o] w[u,v,c,o]
//   dw[u,v,c,o] = sum_{n,i,j} x[n,i,j,c] dz_uv[n,i,j,o],   db[o] = sum of dy[..,o]
// (It is the adjoint of the 2x2 convolution with stride 2, hence the name.)
// x (N,H,W,Cin), f32, f64 or bf16; w (2,2,Cin,Cout), packed as conv2d's, which is (Cin,Cout,2,2)
// in PyTorch; b (Cout); y (N,2H,2W,Cout). METHODS 2.4. Left out: other kernels and strides, which no network
// here has.
#pragma once
#include "autograd/ops/conv2d.h"

namespace patchcl {

class ConvTranspose2d final : public Op {
 public:
  const char* name() const override { return "conv_transpose2d"; }
  Shape shape(const Shapes& x) const override;
  Saves saves() const override { return {.inputs = 0b11, .output = false}; }
  bool takes_bf16(size_t i) const override { return i == 0; }
  size_t workspace(const Shapes& x, DType dtype, Device device) const override;

 protected:
  OP_CPU
  OP_CUDA

 private:
  // The four taps' images (4,N,H,W,Cout), which the workspace holds, for an x and y of these sizes.
  static Tensor taps_in(const Tensor& workspace, const Tensor& y);
  // Between x and the taps' images, the same lines on both devices.
  void convolve(const Forward& f, const Tensor& taps) const;
  void convolve_back(const Backward& b, const Tensor& taps) const;
  Conv2d conv_{/*data_inputs=*/1, /*bias=*/true, {}};
};

// Where a number of y (N,2H,2W,Cout) lies, in y itself and among the taps' images.
struct TapIndex {
  int64_t n, h, w, channels;
  explicit TapIndex(const Shape& y) : n(y[0]), h(y[1] / 2), w(y[2] / 2), channels(y[3]) {}
  HD int64_t y(int64_t image, int64_t row, int64_t column, int64_t channel) const {
    return ((image * 2 * h + row) * 2 * w + column) * channels + channel;
  }
  HD int64_t tap(int64_t image, int64_t row, int64_t column, int64_t channel) const {
    const int64_t tap = row % 2 * 2 + column % 2;
    return (((tap * n + image) * h + row / 2) * w + column / 2) * channels + channel;
  }
};

Var conv_transpose2d(const Var& x, const Var& w, const Var& b, Loc loc = Loc::current());

}  // namespace patchcl
