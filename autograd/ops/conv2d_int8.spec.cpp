#include "autograd/ops/conv2d_int8.h"

#include <algorithm>
#include <cmath>

#include "autograd/ops/conv2d_norm_act.spec.h"
#include "autograd/spec.h"

namespace patchcl {
namespace {

constexpr double kLow = -2, kHigh = 3;  // a step of 1/51

// conv2d_norm_act of what the bytes stand for.
std::vector<double> reference(
    const Shape& x, int64_t first, int64_t second, int64_t cout, std::vector<std::vector<double>> in) {
  const size_t data_inputs = second ? 2 : 1;
  const double step = (kHigh - kLow) / 255, zero = std::rint(-kLow / step);
  for (size_t i = 0; i < data_inputs; ++i)
    for (double& v : in[i]) v = step * (std::min(std::max(std::rint(v / step) + zero, 0.), 255.) - zero);
  std::vector<double>& weight = in[data_inputs];
  std::vector<double> largest(size_t(cout), 0.);
  const auto of = [&](size_t e) -> double& { return largest[e % size_t(cout)]; };
  for (size_t e = 0; e < weight.size(); ++e) of(e) = std::max(of(e), std::fabs(weight[e]));
  for (size_t e = 0; e < weight.size(); ++e) weight[e] = std::rint(weight[e] * 127 / of(e)) * of(e) / 127;
  return conv_norm_act_reference(x, first, second, cout, in);
}

// Odd multiples of `unit` up to `most` of them on either side: with x in 64ths and the weight in 128ths no
// number lies on the edge between two bytes, where f32 and f64 could part. bf16 holds them exactly.
Draw odd(int64_t most, double unit) {
  return [=](const Shape& s, Rng& rng) {
    std::vector<double> v(size_t(s.numel()));
    for (double& e : v) e = double(2 * rng.below(most + 1) - most) * unit;
    return v;
  };
}

// Numbers below and above the range are among those of x.
OpCase make(
    const std::string& label, int64_t n, int64_t h, int64_t w, int64_t first, int64_t second, int64_t cout) {
  const Shape x{n, h, w, first}, channels{cout};
  OpCase c{label, std::make_shared<Conv2dInt8>(second ? 2 : 1, kSpecEps, kSpecSlope),
      {{x, odd(255, 1 / 64.)}}, [=](auto& in) { return reference(x, first, second, cout, in); }};
  if (second) c.inputs.push_back({{n, h, w, second}, odd(255, 1 / 64.)});
  c.inputs.push_back({{3, 3, first + second, cout}, odd(127, 1 / 128.)});
  for (int i = 0; i < 4; ++i) c.inputs.push_back({channels});
  c.inputs.push_back({channels, draw::uniform(0.5, 2)});
  c.inputs.push_back({{2}, draw::values({kLow, kHigh})});
  return c;
}

AddSpec spec{{"conv2d_int8",
    {make("one channel in", 1, 7, 5, 1, 0, 16), make("no multiple of 16", 2, 5, 6, 3, 2, 5),
        make("16 channels, odd size", 2, 9, 7, 16, 0, 16), make("concatenation", 1, 6, 11, 16, 32, 48),
        make("one pixel", 2, 1, 1, 16, 0, 32), make("more than one panel", 3, 4, 5, 32, 0, 112)}}};

}  // namespace
}  // namespace patchcl
