#include "autograd/ops/conv_transpose2d.h"

#include <algorithm>

#include "tensor/bfloat16.h"
#include "tensor/parallel.h"

namespace patchcl {

namespace {

constexpr int64_t kTaps = 4;

size_t aligned(size_t bytes) { return (bytes + 255) / 256 * 256; }

Shape taps_shape(const Shape& y) { return {kTaps, y[0], y[1] / 2, y[2] / 2, y[3]}; }

// Tap t of the images (4,N,H,W,Cout) or of the weight (2,2,Cin,Cout), the latter as a 1x1 convolution's.
Tensor image_of(const Tensor& taps, int64_t t) {
  const Shape& s = taps.shape();
  return taps.rows(t, 1).reshape({s[1], s[2], s[3], s[4]});
}
Tensor weight_of(const Tensor& w, int64_t t) {
  const Shape one{1, 1, w.shape()[2], w.shape()[3]};
  return w.window(t * one.numel(), one);
}

// What the convolutions may use, behind the taps' images.
Tensor rest_of(const Tensor& workspace, const Tensor& taps) {
  const int64_t used = int64_t(aligned(taps.bytes()));
  return workspace.window(used, {workspace.numel() - used});
}

// copy(pixel of y, pixel of a tap's image) for the first channels of all pixels of y.
template <class F> void for_each_pixel(const Shape& y, F&& copy) {
  const TapIndex at(y);
  parallel_for(y[0] * y[1], [&](int64_t r) {
    for (int64_t column = 0; column < y[2]; ++column)
      copy(at.y(r / y[1], r % y[1], column, 0), at.tap(r / y[1], r % y[1], column, 0));
  });
}

}  // namespace

Shape ConvTranspose2d::shape(const Shapes& x) const {
  require(x.size() == 3, name(), "takes x, weight and bias, got ", x.size(), " tensors");
  require(x[0].rank() == 4 && x[0].numel() > 0, name(), "wants x (N,H,W,C) with elements, got ", x[0]);
  const Shape& w = x[1];
  require(w.rank() == 4 && w[0] == 2 && w[1] == 2 && w[2] == x[0][3], name(), "wants a weight (2,2,", x[0][3],
      ",Cout) for x ", x[0], ", got ", w);
  require(x[2] == Shape{w[3]}, name(), "bias ", x[2], " for ", w[3], " output channels");
  return {x[0][0], 2 * x[0][1], 2 * x[0][2], w[3]};
}

size_t ConvTranspose2d::workspace(const Shapes& x, DType dtype, Device device) const {
  const Shapes one{x[0], {1, 1, x[1][2], x[1][3]}, x[2]};
  return aligned(size_t(shape(x).numel()) * dtype_size(dtype)) + conv_.workspace(one, dtype, device);
}

Tensor ConvTranspose2d::taps_in(const Tensor& workspace, const Tensor& y) {
  return Tensor(nullptr, workspace.raw(), taps_shape(y.shape()), y.dtype(), y.device());
}

void ConvTranspose2d::convolve(const Forward& f, const Tensor& taps) const {
  for (int64_t t = 0; t < kTaps; ++t)
    conv_.forward({std::vector<Tensor>{f.x[0], weight_of(f.x[1], t), f.x[2]}, image_of(taps, t), {},
        rest_of(f.workspace, taps)});
}

void ConvTranspose2d::convolve_back(const Backward& b, const Tensor& taps) const {
  for (int64_t t = 0; t < kTaps; ++t) {
    std::vector<GradOut> dx(b.dx.begin(), b.dx.end());
    if (dx[1]) dx[1].t = weight_of(dx[1].t, t);
    for (size_t i : {0, 2}) dx[i].accumulate |= t > 0;  // dw has a window for each tap
    conv_.backward({std::vector<Tensor>{b.x[0], weight_of(b.x[1], t), b.x[2]}, {}, {}, image_of(taps, t), dx,
        rest_of(b.workspace, taps)});
  }
}

// EQ: 2.4 transposed convolution
void ConvTranspose2d::forward_cpu(const Forward& f) const {
  const Tensor taps = taps_in(f.workspace, f.y);
  convolve(f, taps);
  dispatch_data(f.y.dtype(), [&](auto zero) {
    auto *y = f.y.data<decltype(zero)>(), *tap = taps.data<decltype(zero)>();
    for_each_pixel(
        f.y.shape(), [&](int64_t to, int64_t from) { std::copy_n(tap + from, f.y.shape()[3], y + to); });
  });
}

void ConvTranspose2d::backward_cpu(const Backward& b) const {
  const Tensor taps = taps_in(b.workspace, b.dy);
  dispatch_data(b.dy.dtype(), [&](auto zero) {
    auto *dy = b.dy.data<decltype(zero)>(), *tap = taps.data<decltype(zero)>();
    for_each_pixel(
        b.dy.shape(), [&](int64_t from, int64_t to) { std::copy_n(dy + from, b.dy.shape()[3], tap + to); });
  });
  convolve_back(b, taps);
}

Var conv_transpose2d(const Var& x, const Var& w, const Var& b, Loc loc) {
  return x.tape().apply(std::make_shared<ConvTranspose2d>(), {x, w, b}, loc);
}

}  // namespace patchcl
