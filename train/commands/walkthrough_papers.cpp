#include "train/commands/walkthrough_papers.h"

#include <cmath>
#include <numbers>
#include <cstdio>
#include <vector>

#include "autograd/ops/entropy_gate.h"
#include "losses/affinity_contrast.h"
#include "losses/pixel_contrast.h"
#include "tensor/arena.h"

namespace patchcl {
namespace {

using Numbers = std::vector<double>;

Tensor numbers(const Arena& arena, const Shape& shape, const Numbers& values) {
  const Tensor t = arena.empty(shape, DType::f64);
  std::copy(values.begin(), values.end(), t.data<double>());
  return t;
}

// A leaf with its gradient, as a network's parameter is one.
struct Leaf {
  Leaf(Tape& tape, const Arena& arena, const Shape& shape, const Numbers& values)
      : gradient(arena.zeros(shape, DType::f64)),
        var(tape.parameter(numbers(arena, shape, values), gradient, "x")) {}
  Tensor gradient;
  Var var;
};

// Points of the unit circle at these angles, in degrees.
Numbers on_circle(const Numbers& degrees) {
  Numbers f;
  for (const double d : degrees) {
    f.push_back(std::cos(d * std::numbers::pi / 180));
    f.push_back(std::sin(d * std::numbers::pi / 180));
  }
  return f;
}

double cosine(const Numbers& f, size_t i, size_t k) {
  return f[2 * i] * f[2 * k] + f[2 * i + 1] * f[2 * k + 1];
}

}  // namespace

void print_local_contrast() {
  const Numbers degrees{200, 250, 0, 40, 80, 130}, f = on_circle(degrees);
  const std::vector<int32_t> label{0, 0, 1, 1, 2, 2};
  constexpr double tau = 0.5;
  std::printf(
      "six pixels on the unit circle, tau %g\n\npixel label angle   log sum e^s  mean s_ip     l_i\n", tau);
  double mean = 0;
  for (size_t i = 0; i < label.size(); ++i) {
    double sum = 0, pull = 0;
    for (size_t k = 0; k < label.size(); ++k) {
      if (k == i) continue;
      sum += std::exp(cosine(f, i, k) / tau);
      if (label[k] == label[i]) pull += cosine(f, i, k) / tau;  // one positive each
    }
    std::printf("%5d %5d %5.0f", int(i), int(label[i]), degrees[i]);
    if (label[i] == 0) {
      std::printf("   background: no anchor, but repels the others\n");
      continue;
    }
    std::printf("   %11.4f  %9.4f  %6.4f\n", std::log(sum), pull, std::log(sum) - pull);
    mean += (std::log(sum) - pull) / 4;
  }
  const Arena arena("walkthrough");
  Tape tape(arena);
  const Leaf x(tape, arena, {1, 6, 2}, f);
  const Tensor labels = arena.empty({1, 6}, DType::i32);
  std::copy(label.begin(), label.end(), labels.data<int32_t>());
  const Var loss = pixel_contrast(x.var, tape.constant(labels), {.tau = tau});
  tape.backward(loss);
  std::printf(
      "\nmean %.6f, the op says %.6f\n\npixel   -dL/df along the circle, degrees to the left positive\n",
      mean, loss.value().item());
  for (size_t i = 0; i < label.size(); ++i) {
    const double* g = x.gradient.data<double>() + 2 * i;
    std::printf("%5d   %+8.4f\n", int(i), -(g[1] * f[2 * i] - g[0] * f[2 * i + 1]));
  }
}

void print_affinity() {
  const Numbers share{0.25, 0.5, 1}, f = on_circle({0, 90, 45});
  constexpr double tau = 0.5;
  std::printf(
      "three windows of the label of x_l and their shares of foreground:"
      " corner 0.25, edge 0.5, middle 1\n\n pair     div     aff     cos       d\n");
  double mean = 0;
  for (size_t p = 0; p < 3; ++p) {
    double pull = 0, sum = 0;
    for (size_t q = 0; q < 3; ++q) {
      const double divergence = std::abs(share[p] - share[q]), d = (1 - cosine(f, p, q)) / tau;
      pull += (1 - divergence) * d / 3;
      sum += std::exp(-divergence * d);
      if (q > p)
        std::printf("%2d, %d  %6.4f  %6.4f  %6.4f  %6.4f\n", int(p), int(q), divergence, 1 - divergence,
            cosine(f, p, q), d);
    }
    mean += (pull + std::log(sum)) / 3;
  }
  const Arena arena("walkthrough");
  Tape tape(arena);
  const Leaf x(tape, arena, {1, 3, 2}, f);
  const AffinityFeatures windows{x.var, tape.constant(numbers(arena, {1, 3, 1}, share)),
      tape.constant(numbers(arena, {1, 3}, {1, 1, 1}))};
  const Var loss = affinity_contrast(windows, windows, {.tau = tau});
  std::printf("\nmean %.6f, the op says %.6f\n", mean, loss.value().item());
}

void print_gate() {
  std::printf(
      "a feature of 1 at pixels with two scores each\n\n    a_0     a_1     u_0     u_1       H       y"
      "   dH/da_0  by difference\n");
  const auto uncertainty = [](double a, double b) {
    const double u = 1 / (1 + std::exp(b - a));
    return -(u * std::log(u) + (1 - u) * std::log(1 - u)) / std::log(2.);
  };
  const Arena arena("walkthrough");
  for (const double a : {0., 0.5, 1., 2., 4.}) {
    Tape tape(arena);
    const Leaf x(tape, arena, {1, 1, 1, 1}, {1}), scores(tape, arena, {1, 1, 1, 2}, {a, 0});
    const Var y = entropy_gate(x.var, scores.var);
    tape.backward(y);
    const double u = 1 / (1 + std::exp(-a)), h = 1e-5;
    const double difference = (uncertainty(a + h, 0) - uncertainty(a - h, 0)) / (2 * h);
    std::printf("%7.2f %7.2f %7.4f %7.4f %7.4f %7.4f  %+8.4f  %+8.4f\n", a, 0., u, 1 - u, uncertainty(a, 0),
        y.value().item(), 0 - scores.gradient.data<double>()[0], difference);
  }
}

}  // namespace patchcl
