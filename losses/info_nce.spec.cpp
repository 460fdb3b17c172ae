#include <cmath>

#include "autograd/spec.h"
#include "losses/info_nce.h"

namespace patchcl {
namespace {

using Lists = std::vector<std::vector<double>>;

// From the definition: a plain softmax in long double, one anchor after the other.
std::vector<double> reference(const Lists& x, int64_t D, double tau, Denominator denominator) {
  const size_t n = x[3].size(), m = x[4].size();
  const auto similarity = [&](size_t i, const std::vector<double>& keys, size_t j) {
    long double s = 0;
    for (int64_t d = 0; d < D; ++d) s += (long double)(x[0][i * D + d]) * keys[j * D + d];
    return s / tau;
  };
  long double loss = 0;
  int anchors = 0;
  for (size_t i = 0; i < n; ++i) {
    if (x[3][i] < 0) continue;
    ++anchors;
    const long double positive = expl(similarity(i, x[1], i));
    long double negatives = 0;
    for (size_t j = 0; j < m; ++j)
      if (x[4][j] >= 0 && x[4][j] != x[3][i]) negatives += expl(similarity(i, x[2], j));
    if (negatives > 0)
      loss -= logl(positive / (denominator == Denominator::all ? positive + negatives : negatives));
  }
  return {double(loss / std::max(anchors, 1))};
}

OpCase make(const std::string& label, int64_t n, int64_t m, int64_t D, double tau,
    std::vector<double> anchor_class, std::vector<double> negative_class, uint32_t zero_gradient = 0,
    Denominator denominator = Denominator::all) {
  return {.label = label,
      .op = std::make_shared<InfoNce>(tau, denominator),
      .inputs = {{{n, D}, draw::normal(0.5)}, {{n, D}, draw::normal(0.5)}, {{m, D}, draw::normal(0.5)},
          {{n}, draw::values(anchor_class), DType::i32}, {{m}, draw::values(negative_class), DType::i32}},
      .reference = [=](const Lists& x) { return reference(x, D, tau, denominator); },
      .zero_gradient = zero_gradient};
}

AddSpec spec{
    {"info_nce", {make("three classes, odd sizes", 7, 13, 5, 0.5, {0, 1, 2}, {2, 0, 1, 0}),
                     make("rows without a class", 5, 9, 19, 0.7, {0, -1, 1}, {-1, 1, 0}),
                     make("one anchor, one negative, one feature", 1, 1, 1, 1, {0}, {1}),
                     make("rows longer than a chunk", 3, 530, 33, 0.8, {0, 1}, {0, 1, 2}),
                     make("no anchor has a negative", 3, 4, 6, 0.2, {1}, {1, -1}, /*zero_gradient=*/0b111),
                     make("the negatives alone in the denominator", 7, 13, 5, 0.5, {0, 1, 2}, {2, 0, 1, 0}, 0,
                         Denominator::negatives),
                     make("the same, some anchors without a negative", 5, 4, 9, 0.7, {0, -1, 1}, {-1, 1, 1},
                         0, Denominator::negatives)}}};

}  // namespace
}  // namespace patchcl
