#include <cmath>
#include <numbers>

#include "autograd/ops/noise.h"
#include "autograd/spec.h"

namespace patchcl {
namespace {

OpCase make(const Shape& shape, double sigma, double limit, uint32_t site, double seed, double step) {
  return {.label = shape.str(),
      .op = std::make_shared<Noise>(sigma, limit, site),
      .inputs = {{shape, draw::normal()}, {{2}, draw::values({seed, step}), DType::i64}},
      .reference = [=](const std::vector<std::vector<double>>& x) {
        std::vector<double> y = x[0];
        for (size_t i = 0; i < y.size(); ++i) {
          // The real part of a complex Gaussian, from one pair of uniforms.
          const Philox4 p = philox(uint64_t(seed), uint32_t(i / 2), site << 8, uint32_t(step), 0);
          const double u = (p.v[i % 2 * 2] + 0.5) / 4294967296.0,
                       v = (p.v[i % 2 * 2 + 1] + 0.5) / 4294967296.0;
          const double n = sigma * std::sqrt(2 * std::log(1 / u)) *
                           std::sin(std::numbers::pi / 2 - 2 * std::numbers::pi * v);
          y[i] += std::fmax(-limit, std::fmin(limit, n));
        }
        return y;
      }};
}

AddSpec spec{{"noise", {make({2, 5, 7, 3}, 0.1, 0.2, 4, 11, 3), make({1, 3, 3, 1}, 1, 0.5, 0, 1337, 29999),
                           make({1}, 2, 100, 9, 1, 0)}}};

}  // namespace
}  // namespace patchcl
