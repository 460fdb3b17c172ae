#include "autograd/ops/upsample2x.h"

#include <cmath>

#include "autograd/spec.h"

namespace patchcl {
namespace {

// The definition: every pixel of x with its hat function, in floating-point positions.
std::vector<double> reference(const Shape& s, const std::vector<double>& x) {
  const Shape out{s[0], 2 * s[1], 2 * s[2], s[3]};
  const auto hat = [](int64_t o, int64_t i, int64_t n) {
    return std::fmax(0, 1 - std::fabs(double(o) * double(n - 1) / double(2 * n - 1) - double(i)));
  };
  std::vector<double> y(size_t(out.numel()));
  for (int64_t e = 0; e < out.numel(); ++e) {
    const Shape at = out.position(e);
    for (int64_t i = 0; i < s[1]; ++i)
      for (int64_t j = 0; j < s[2]; ++j)
        y[size_t(e)] += hat(at[1], i, s[1]) * hat(at[2], j, s[2]) *
                        x[size_t(((at[0] * s[1] + i) * s[2] + j) * s[3] + at[3])];
  }
  return y;
}

OpCase make(const std::string& label, const Shape& s) {
  return {label, std::make_shared<Upsample2x>(), {{s}}, [s](auto& in) { return reference(s, in[0]); }};
}

AddSpec spec{{"upsample2x",
    {make("odd size", {2, 3, 5, 3}), make("one pixel", {1, 1, 1, 2}), make("one column", {1, 7, 1, 1}),
        make("2x2", {1, 2, 2, 1}), make("16 channels", {2, 4, 3, 16}), make("32 channels", {1, 2, 6, 32})}}};

}  // namespace
}  // namespace patchcl
