#include <cmath>

#include "autograd/spec.h"
#include "losses/guided_contrastive.h"

namespace patchcl {
namespace {

using Lists = std::vector<std::vector<double>>;

// Random covariances A A^T / D for a shape (..., D, D).
std::vector<double> covariances(const Shape& s, Rng& rng) {
  const int64_t D = s[-1];
  std::vector<double> v(size_t(s.numel())), a(size_t(D * D));
  for (size_t at = 0; at < v.size(); at += size_t(D * D)) {
    for (double& e : a) e = rng.normal() / std::sqrt(double(D));
    for (int64_t r = 0; r < D; ++r)
      for (int64_t c = 0; c < D; ++c)
        for (int64_t k = 0; k < D; ++k)
          v[at + size_t(r * D + c)] += a[size_t(r * D + k)] * a[size_t(c * D + k)];
  }
  return v;
}

// From the definition, with the exponentials as they stand, in long double.
std::vector<double> reference(const Lists& x, int64_t D, bool shared, const GuidedContrastiveOptions& o) {
  const size_t K = x[6].size();
  const auto exponent = [&](size_t anchor, const std::vector<double>& mean,
                            const std::vector<double>& covariance, size_t row) {
    const double* t = &x[0][anchor * size_t(D)];
    long double linear = 0, quadratic = 0;
    for (int64_t r = 0; r < D; ++r) {
      linear += t[r] * (long double)(mean[row * D + r]);
      for (int64_t c = 0; c < D; ++c)
        quadratic += t[r] * (long double)(covariance[(row * D + r) * D + c]) * t[c];
    }
    return linear / o.tau + o.lambda / (2 * o.tau * o.tau) * quadratic;
  };
  int present = 0, anchors = 0;
  for (double r : x[6]) present += r != 0;
  long double loss = 0;
  for (size_t a = 0; a < x[1].size() && present >= 2; ++a) {
    if (x[1][a] < 0 || x[6][size_t(x[1][a])] == 0) continue;
    const size_t i = size_t(x[1][a]);
    ++anchors;
    long double others = 0, positive = 0;
    for (size_t j = 0; j < K; ++j)
      if (j != i && x[6][j] != 0) others += expl(exponent(a, x[4], x[5], shared ? j : i * K + j));
    for (int64_t r = 0; r < D; ++r) positive += x[0][a * D + r] * (long double)(x[2][i * D + r]) / o.tau;
    loss += -positive + logl(expl(exponent(a, x[2], x[3], i)) + o.psi / present * others);
  }
  return {double(loss / std::max(anchors, 1))};
}

OpCase make(const std::string& label, int64_t n, int64_t K, int64_t D, bool shared,
    GuidedContrastiveOptions o, std::vector<double> classes, std::vector<double> ready,
    uint32_t zero_gradient = 0) {
  const int64_t rows = shared ? 1 : K;
  return {.label = label,
      .op = std::make_shared<GuidedContrastive>(o),
      .inputs = {{{n, D}, draw::normal(0.7)}, {{n}, draw::values(classes), DType::i32},
          {{K, D}, draw::normal(0.5)}, {{K, D, D}, covariances}, {{rows, K, D}, draw::normal(0.5)},
          {{rows, K, D, D}, covariances}, {{K}, draw::values(ready), DType::u8}},
      .reference = [=](const Lists& x) { return reference(x, D, shared, o); },
      .zero_gradient = zero_gradient};
}

AddSpec spec{{"guided_contrastive",
    {make("pairs, odd sizes", 7, 3, 5, false, {1, 4, 2}, {0, 1, 2}, {1}),
        make("shared negatives, a class and a row that take no part", 9, 4, 19, true, {0.5, 1, 64},
            {0, 3, -1, 1, 2}, {1, 1, 0, 1}),
        make("one anchor, one feature", 1, 2, 1, false, {1, 10, 1}, {1}, {1}),
        make("released warm-up constants", 5, 4, 8, false, {0.2, 4, 4096}, {3, 2, 1, 0}, {1}),
        make("one class only", 4, 3, 5, false, {1, 10, 1}, {1}, {0, 1, 0}, /*zero_gradient=*/1),
        make("no class", 4, 3, 5, true, {1, 10, 1}, {0, 1, 2}, {0}, /*zero_gradient=*/1)}}};

}  // namespace
}  // namespace patchcl
