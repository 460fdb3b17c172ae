#include "autograd/ops/conv_transpose2d.h"

#include "autograd/spec.h"

namespace patchcl {
namespace {

// Gathered, the other way round from the kernels: each number of y asks the one pixel of x that reaches it.
std::vector<double> reference(const Shape& s, int64_t cout, const std::vector<std::vector<double>>& in) {
  const Shape out{s[0], 2 * s[1], 2 * s[2], cout};
  std::vector<double> y(size_t(out.numel()));
  for (int64_t e = 0; e < out.numel(); ++e) {
    const Shape at = out.position(e);
    const int64_t tap = at[1] % 2 * 2 + at[2] % 2, pixel = (at[0] * s[1] + at[1] / 2) * s[2] + at[2] / 2;
    y[size_t(e)] = in[2][size_t(at[3])];
    for (int64_t c = 0; c < s[3]; ++c)
      y[size_t(e)] += in[0][size_t(pixel * s[3] + c)] * in[1][size_t((tap * s[3] + c) * cout + at[3])];
  }
  return y;
}

OpCase make(const std::string& label, const Shape& s, int64_t cout) {
  return {label, std::make_shared<ConvTranspose2d>(), {{s}, {{2, 2, s[3], cout}}, {{cout}}},
      [=](auto& in) { return reference(s, cout, in); }};
}

AddSpec spec{{"conv_transpose2d", {make("odd size", {2, 3, 5, 4}, 3), make("one pixel", {2, 1, 1, 3}, 2),
                                      make("one image, one channel in and out", {1, 5, 2, 1}, 1),
                                      make("32 to 16 channels", {2, 3, 4, 32}, 16),
                                      make("16 to 48 channels, one row", {1, 1, 7, 16}, 48)}}};

}  // namespace
}  // namespace patchcl
