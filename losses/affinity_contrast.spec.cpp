#include "losses/affinity_contrast.h"

#include <algorithm>

#include "autograd/spec.h"

namespace patchcl {
namespace {

using Lists = std::vector<std::vector<double>>;
using Options = AffinityContrastOptions;

// As published: -log of e^{s aff} over the sum of e^{s div}, pair by pair, in long double.
struct Published {
  const Lists& x;
  int64_t n, m, D, K;
  const Options& o;

  long double similarity(int64_t p, int64_t q) const {
    long double cosine = 0;
    for (int64_t d = 0; d < D; ++d)
      cosine += (long double)(x[0][size_t(p * D + d)]) * x[1][size_t(q * D + d)];
    return cosine;
  }
  long double divergence(int64_t p, int64_t q) const {
    long double apart = 0, common = 0, both = 0;
    for (int64_t k = 0; k < K; ++k) {
      const long double a = x[2][size_t(p * K + k)], b = x[3][size_t(q * K + k)];
      apart += fabsl(a - b);
      common += std::min(a, b);
      both += a + b;
    }
    if (o.affinity == Affinity::ratio) return apart;
    if (o.affinity == Affinity::variation) return apart / 2;
    return both > 0 ? 1 - 2 * common / both : 0;
  }
  long double pair(int64_t p, int64_t q, const std::vector<int64_t>& columns) const {
    const long double cosine = similarity(p, q), div = divergence(p, q), error = (1 - cosine) / 2 - div;
    if (o.form == AffinityForm::l1) return fabsl(error);
    if (o.form == AffinityForm::l2) return error * error;
    long double below = 0;
    for (const int64_t k : columns) {
      const long double other = divergence(p, k);
      below += expl((similarity(p, k) - 1) / o.tau * (o.reversed ? 1 - other : other));
    }
    return -logl(expl((cosine - 1) / o.tau * (o.reversed ? div : 1 - div)) / below);
  }
};

std::vector<double> reference(const Shape& f, const Shape& g, int64_t K, const Options& o, const Lists& x) {
  const int64_t B = f[0], n = f[1], m = g[1];
  const Published published{x, n, m, f[2], K, o};
  long double sum = 0;
  int images = 0;
  for (int64_t b = 0; b < B; ++b) {
    std::vector<int64_t> rows, columns;
    for (int64_t p = b * n; p < (b + 1) * n; ++p)
      if (x[4][size_t(p)] != 0) rows.push_back(p);
    for (int64_t q = b * m; q < (b + 1) * m; ++q)
      if (x[5][size_t(q)] != 0) columns.push_back(q);
    if (rows.empty() || columns.empty()) continue;
    ++images;
    long double total = 0;
    for (const int64_t p : rows)
      for (const int64_t q : columns) total += published.pair(p, q, columns);
    sum += total / (long double)(rows.size() * columns.size());
  }
  return {double(images ? sum / images : 0)};
}

OpCase make(const std::string& label, int64_t B, int64_t n, int64_t m, int64_t D, int64_t K, const Options& o,
    std::vector<double> valid = {1}, uint32_t zero_gradient = 0) {
  const Shape f{B, n, D}, g{B, m, D};
  const Draw phi = o.affinity == Affinity::dice ? draw::bits(0.4) : draw::uniform(0, 1 / double(K));
  return {.label = label,
      .op = std::make_shared<AffinityContrast>(o),
      .inputs = {{f, draw::normal(0.3)}, {g, draw::normal(0.3)}, {{B, n, K}, phi}, {{B, m, K}, phi},
          {{B, n}, draw::values(valid)}, {{B, m}, draw::values(valid)}},
      .reference = [=](const Lists& x) { return reference(f, g, K, o, x); },
      .zero_gradient = zero_gradient};
}

constexpr auto contrastive = AffinityForm::contrastive, l1 = AffinityForm::l1, l2 = AffinityForm::l2;
constexpr auto ratio = Affinity::ratio, variation = Affinity::variation, dice = Affinity::dice;

AddSpec spec{{"affinity_contrast",
    {make("one class, odd sizes", 2, 7, 7, 5, 1, {contrastive, ratio, 0.5}),
        make("three classes, between two maps", 1, 5, 9, 33, 3, {contrastive, ratio, 0.7}),
        make("total variation, patches left out", 3, 6, 4, 8, 4, {contrastive, variation, 0.4},
            {1, 0, 1, 1, 0}),
        make("Dice of masks", 2, 8, 8, 3, 25, {contrastive, dice, 0.5}),
        make("reversed", 1, 9, 6, 4, 2, {contrastive, ratio, 0.6, true}),
        make("l1", 2, 5, 6, 7, 2, {l1, ratio, 0.5}, {1, 1, 0}),
        make("l2", 2, 6, 5, 40, 3, {l2, variation, 0.5}, {0, 1, 1}),
        make("more than a tile", 1, 66, 259, 2, 1, {contrastive, ratio, 0.5}, {1, 1, 1, 0, 1, 1, 1}),
        make("one patch", 1, 1, 1, 1, 1, {contrastive, ratio, 1}),
        make("an image without patches", 2, 3, 3, 4, 2, {contrastive, ratio, 0.5}, {0, 0, 0, 1, 1, 0}),
        make("no patch at all", 2, 3, 2, 4, 2, {contrastive, ratio, 0.5}, {0}, 0b11)}}};

}  // namespace
}  // namespace patchcl
