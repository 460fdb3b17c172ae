#include <cmath>

#include "autograd/spec.h"
#include "losses/pixel_contrast.h"

namespace patchcl {
namespace {

using Lists = std::vector<std::vector<double>>;
using Options = PixelContrastOptions;

// One group of m vectors f (m,D), from plain sums over all candidates in long double: the mean of l_i, and
// whether there is an anchor.
struct GroupLoss {
  long double sum = 0;
  int anchors = 0;

  GroupLoss(const double* f, const double* label, int64_t m, int64_t D, const Options& o) {
    for (int64_t i = 0; i < m; ++i)
      if (label[i] != 0) add_anchor(f, label, m, D, o, i);
  }
  void add_anchor(const double* f, const double* label, int64_t m, int64_t D, const Options& o, int64_t i) {
    long double of_positives = 0, of_negatives = 0, mean = 0;
    int positives = 0, negatives = 0;
    for (int64_t k = 0; k < m; ++k) {
      if (k == i) continue;
      long double s = 0;
      for (int64_t d = 0; d < D; ++d) s += (long double)(f[i * D + d]) * f[k * D + d] / o.tau;
      const bool positive = label[k] == label[i];
      (positive ? of_positives : of_negatives) += expl(s);
      ++(positive ? positives : negatives);
      if (positive) mean += s;
    }
    if (positives == 0 || negatives == 0) return;
    ++anchors;
    mean /= positives;
    const bool all = o.denominator == ContrastDenominator::all;
    const long double denominator = logl(of_negatives + (all ? of_positives : 0));
    if (o.form == ContrastForm::paper) sum += (denominator - logl(of_positives)) / positives;
    else sum += denominator - mean;
  }
};

std::vector<double> reference(const Lists& x, int64_t groups, const Options& o) {
  const int64_t m = int64_t(x[1].size()) / groups, D = int64_t(x[0].size() / x[1].size());
  long double total = 0;
  int active = 0;
  for (int64_t g = 0; g < groups; ++g) {
    const GroupLoss loss(x[0].data() + g * m * D, x[1].data() + g * m, m, D, o);
    if (loss.anchors == 0) continue;
    ++active;
    total += loss.sum / loss.anchors;
  }
  return {double(active ? total / active : 0)};
}

OpCase make(const std::string& label, int64_t groups, int64_t m, int64_t D, const Options& o,
    std::vector<double> labels, bool zero_gradient = false) {
  return {.label = label,
      .op = std::make_shared<PixelContrast>(o),
      .inputs = {{{groups, m, D}, draw::normal(0.5)}, {{groups, m}, draw::values(labels), DType::i32}},
      .reference = [groups, o](const Lists& x) { return reference(x, groups, o); },
      .zero_gradient = zero_gradient};
}

constexpr auto released = ContrastForm::released, paper = ContrastForm::paper;
constexpr auto all = ContrastDenominator::all, negatives = ContrastDenominator::negatives;

AddSpec spec{{"pixel_contrast",
    {make("released, three classes, odd sizes", 1, 13, 5, {released, all, 0.5}, {0, 1, 2, 1, 0, 2, 2}),
        make("released, negatives below", 2, 17, 33, {released, negatives, 0.7}, {0, 1, 2, 2, 1}),
        make("paper, negatives below", 2, 9, 3, {paper, negatives, 0.6}, {1, 0, 2, 1, 2}),
        make("paper, all below", 3, 8, 40, {paper, all, 0.9}, {2, 0, 1}),
        make("more than a tile", 1, 601, 4, {released, all, 0.8}, {0, 1, 0, 2, 0, 0, 7}),
        make("groups without an anchor, an anchor without a partner", 4, 5, 6, {released, all, 0.4},
            {0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 0, 3, 3, 1, 0, 1, 2, 2, 2, 0}),
        make("one vector and one feature", 1, 1, 1, {paper, all, 1}, {1}, true),
        make("one class", 1, 6, 3, {released, all, 0.2}, {2}, true),
        make("background only", 2, 4, 3, {released, negatives, 0.2}, {0}, true)}}};

}  // namespace
}  // namespace patchcl
