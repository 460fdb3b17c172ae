#include "autograd/ops/conv2d.h"
#include "autograd/spec.h"

namespace patchcl {
namespace {

struct Geometry {
  std::string label;
  int64_t n, h, w, cout, kernel;
  std::vector<int64_t> channels;  // one entry per data input
  Conv2dOptions options;
  bool bias = true;
  bool winograd = false;  // rounds more coarsely
};

// Scatter form, the other way round from the kernels: each input element adds to the outputs that it touches.
std::vector<double> reference(const Geometry& g, const std::vector<std::vector<double>>& in) {
  const auto [stride, padding, dilation] = g.options;
  const int64_t oh = (g.h + 2 * padding - dilation * (g.kernel - 1) - 1) / stride + 1;
  const int64_t ow = (g.w + 2 * padding - dilation * (g.kernel - 1) - 1) / stride + 1;
  int64_t cin = 0;
  for (int64_t c : g.channels) cin += c;
  const std::vector<double>& weight = in[g.channels.size()];
  std::vector<double> y(size_t(g.n * oh * ow * g.cout));
  for (size_t i = 0; i < y.size(); ++i) y[i] = g.bias ? in.back()[i % size_t(g.cout)] : 0;
  int64_t begin = 0;
  for (size_t k = 0; k < g.channels.size(); begin += g.channels[k++])
    for (size_t e = 0; e < in[k].size(); ++e) {
      const int64_t c = int64_t(e) % g.channels[k], pixel = int64_t(e) / g.channels[k];
      const int64_t ix = pixel % g.w, iy = pixel / g.w % g.h, n = pixel / g.w / g.h;
      for (int64_t u = 0; u < g.kernel; ++u)
        for (int64_t v = 0; v < g.kernel; ++v) {
          const int64_t ty = iy + padding - u * dilation, tx = ix + padding - v * dilation;
          if (ty < 0 || tx < 0 || ty % stride || tx % stride || ty / stride >= oh || tx / stride >= ow)
            continue;
          for (int64_t o = 0; o < g.cout; ++o)
            y[size_t(((n * oh + ty / stride) * ow + tx / stride) * g.cout + o)] +=
                in[k][e] * weight[size_t(((u * g.kernel + v) * cin + begin + c) * g.cout + o)];
        }
    }
  return y;
}

OpCase make(const Geometry& g) {
  OpCase c{g.label, std::make_shared<Conv2d>(int(g.channels.size()), g.bias, g.options), {},
      [g](auto& in) { return reference(g, in); }};
  int64_t cin = 0;
  for (int64_t channels : g.channels) {
    c.inputs.push_back({{g.n, g.h, g.w, channels}});
    cin += channels;
  }
  c.inputs.push_back({{g.kernel, g.kernel, cin, g.cout}});
  if (g.bias) c.inputs.push_back({{g.cout}});
  if (g.winograd) {
    c.tolerance_f32 = 1.2e-5;
    c.tolerance_grad_f32 = 1.6e-4;
    c.tolerance_bf16 = 3e-2;
  }
  return c;
}

AddSpec spec{
    {"conv2d", {make({"3x3 pad 1, odd size", 2, 5, 7, 3, 3, {4}, {1, 1, 1}}),
                   make({"3x3 pad 1, two inputs", 2, 6, 5, 5, 3, {3, 2}, {1, 1, 1}}),
                   make({"3x3 pad 1, one channel in and out", 1, 7, 3, 1, 3, {1}, {1, 1, 1}}),
                   make({"3x3 pad 1, no bias", 1, 4, 4, 2, 3, {3}, {1, 1, 1}, false}),
                   make({"3x3 no pad, stride 2", 2, 9, 7, 3, 3, {2}, {2, 0, 1}}),
                   make({"3x3 pad 2, dilation 2", 1, 7, 8, 2, 3, {3}, {1, 2, 2}}),
                   make({"3x3 pad 1, stride 2, even size", 1, 6, 8, 3, 3, {2, 1}, {2, 1, 1}}),
                   make({"1x1", 3, 3, 5, 4, 1, {6}, {}}), make({"5x5 pad 2", 1, 6, 5, 2, 5, {2}, {1, 2, 1}}),
                   make({"3x3 pad 1, 16 and 32 channels", 1, 5, 6, 16, 3, {16, 32}, {1, 1, 1}, true, true}),
                   make({"3x3 pad 1, one channel to 16", 2, 7, 5, 16, 3, {1}, {1, 1, 1}}),
                   make({"3x3 pad 1, 16 channels to 4", 1, 6, 5, 4, 3, {16}, {1, 1, 1}}),
                   make({"1x1, 32 and 16 channels to 16", 1, 5, 7, 16, 1, {32, 16}, {}})}}};

}  // namespace
}  // namespace patchcl
