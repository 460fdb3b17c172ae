#include "autograd/ops/region_pool.h"

#include "autograd/spec.h"

namespace patchcl {
namespace {

// By the dense matrix of all windows and pixels.
std::vector<double> reference(
    const Shape& s, int64_t R, int64_t P, const std::vector<std::vector<double>>& x) {
  std::vector<double> y(size_t(R * s[3]));
  for (int64_t r = 0; r < R; ++r)
    for (int64_t m = 0; m < s[0] * s[1] * s[2]; ++m) {
      const int64_t n = m / (s[1] * s[2]), i = m / s[2] % s[1] - int64_t(x[1][size_t(3 * r + 1)]),
                    j = m % s[2] - int64_t(x[1][size_t(3 * r + 2)]);
      const bool inside = double(n) == x[1][size_t(3 * r)] && i >= 0 && i < P && j >= 0 && j < P;
      const double w = inside ? x[2][size_t((r * P + i) * P + j)] : 0;
      for (int64_t c = 0; c < s[3]; ++c) y[size_t(r * s[3] + c)] += w * x[0][size_t(m * s[3] + c)];
    }
  return y;
}

OpCase make(const std::string& label, const Shape& map, int64_t P, const std::vector<double>& windows) {
  const int64_t R = int64_t(windows.size()) / 3;
  return {label, std::make_shared<RegionPool>(),
      {{map}, {{R, 3}, draw::values(windows), DType::i32}, {{R, P, P}, draw::uniform(0, 1)}},
      [=](auto& x) { return reference(map, R, P, x); }};
}

AddSpec spec{{"region_pool",
    {make("two overlap, one touches the border", {2, 7, 5, 3}, 3, {0, 1, 1, 0, 2, 2, 1, 4, 2}),
        make("the same window twice", {1, 5, 9, 4}, 5, {0, 0, 3, 0, 0, 3}),
        make("of one pixel", {3, 3, 3, 2}, 1, {2, 2, 2, 0, 0, 1, 1, 1, 0}),
        make("the whole image", {2, 4, 4, 5}, 4, {1, 0, 0, 0, 0, 0})}}};

}  // namespace
}  // namespace patchcl
