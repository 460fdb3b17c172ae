#include "autograd/ops/max_pool2d.h"

#include <algorithm>
#include <limits>

#include "autograd/spec.h"

namespace patchcl {
namespace {

// Each x looks for its window and raises the maximum there.
std::vector<double> reference(const Shape& s, const std::vector<double>& x) {
  const Shape out{s[0], s[1] / 2, s[2] / 2, s[3]};
  std::vector<double> y(size_t(out.numel()), -std::numeric_limits<double>::infinity());
  for (int64_t e = 0; e < s.numel(); ++e) {
    const Shape at = s.position(e);
    const int64_t i = at[1] / 2, j = at[2] / 2;
    if (i >= out[1] || j >= out[2]) continue;
    double& best = y[size_t(((at[0] * out[1] + i) * out[2] + j) * out[3] + at[3])];
    best = std::max(best, x[size_t(e)]);
  }
  return y;
}

OpCase make(const std::string& label, const Shape& s) {
  return {label, std::make_shared<MaxPool2d>(), {{s, draw::distinct()}},
      [s](auto& in) { return reference(s, in[0]); }};
}

AddSpec spec{{"max_pool2d",
    {make("even size", {2, 6, 4, 3}), make("odd size", {1, 7, 5, 2}), make("one channel", {3, 3, 2, 1}),
        make("16 channels", {2, 5, 6, 16}), make("32 channels", {1, 4, 3, 32})}}};

}  // namespace
}  // namespace patchcl
