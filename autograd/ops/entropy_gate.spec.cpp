#include "autograd/ops/entropy_gate.h"

#include "autograd/spec.h"

namespace patchcl {
namespace {

using Lists = std::vector<std::vector<double>>;

// Probabilities first, by their definition, then their entropy.
std::vector<double> reference(int64_t C, int64_t M, const Lists& x) {
  std::vector<double> y(x[0].size());
  const size_t n = x[1].size() / size_t(M);
  for (size_t i = 0; i < n; ++i) {
    std::vector<long double> u;
    long double sum = 0, entropy = 0;
    for (int64_t m = 0; m < M; ++m) u.push_back(expl(x[1][i * size_t(M) + size_t(m)]));
    if (M == 1) u.push_back(1);  // a sigmoid is a softmax against 0
    for (const long double v : u) sum += v;
    for (const long double v : u) entropy -= v / sum * logl(v / sum);
    const long double gate = 2 - entropy / logl((long double)u.size());
    for (size_t c = 0; c < size_t(C); ++c) y[i * size_t(C) + c] = double(gate * x[0][i * size_t(C) + c]);
  }
  return y;
}

OpCase make(const std::string& label, const Shape& x, int64_t M, double scale) {
  Shape logits = x;
  logits[logits.rank() - 1] = M;
  const int64_t C = x[-1];
  return {.label = label,
      .op = std::make_shared<EntropyGate>(),
      .inputs = {{x}, {logits, draw::normal(scale)}},
      .reference = [=](const Lists& in) { return reference(C, M, in); }};
}

AddSpec spec{{"entropy_gate",
    {make("two classes, odd sizes", {2, 5, 3, 7}, 2, 1), make("one pixel, one channel", {1, 1, 1, 1}, 2, 1),
        make("a sigmoid", {1, 7, 5, 4}, 1, 2), make("ten classes, sure of some pixels", {3, 4, 4, 16}, 10, 4),
        make("rows", {9, 5}, 3, 1)}}};

}  // namespace
}  // namespace patchcl
