#include "autograd/ops/conv2d_int8.h"

#include <cmath>

#include "autograd/spec.h"

namespace patchcl {
namespace {

constexpr double kEps = 1e-3, kSlope = 0.2, kLow = -2, kHigh = 3;  // a step of 1/51

// Everything as whole numbers, scattered from x to y, the other way round than the kernels gather.
std::vector<double> reference(
    const Shape& x, int64_t first, int64_t second, int64_t cout, const std::vector<std::vector<double>>& in) {
  const int64_t n = x[0], h = x[1], w = x[2];
  const size_t k = second ? 2 : 1;
  const std::vector<double>& weight = in[k];
  std::vector<double> sum(size_t(n * h * w * cout), 0.), largest(size_t(cout), 0.);
  for (size_t e = 0; e < weight.size(); ++e)
    largest[e % size_t(cout)] = std::max(largest[e % size_t(cout)], std::fabs(weight[e]));
  const double step = (kHigh - kLow) / 255, zero = std::rint(-kLow / step);
  const auto scatter = [&](const std::vector<double>& data, int64_t channels, int64_t begin) {
    for (size_t e = 0; e < data.size(); ++e) {
      const int64_t c = int64_t(e) % channels, p = int64_t(e) / channels, image = p / (h * w), i = p / w % h,
                    j = p % w;
      const double byte = std::min(std::max(std::rint(data[e] / step) + zero, 0.), 255.);
      for (int64_t tap = 0; tap < 9; ++tap) {
        const int64_t oi = i + 1 - tap / 3, oj = j + 1 - tap % 3;
        if (oi < 0 || oj < 0 || oi >= h || oj >= w) continue;
        for (int64_t o = 0; o < cout; ++o) {
          const double v = weight[size_t((tap * (first + second) + begin + c) * cout + o)];
          sum[size_t(((image * h + oi) * w + oj) * cout + o)] +=
              (byte - zero) * std::rint(v * 127 / largest[size_t(o)]);
        }
      }
    }
  };
  scatter(in[0], first, 0);
  if (second) scatter(in[1], second, first);
  for (size_t e = 0; e < sum.size(); ++e) {
    const size_t o = e % size_t(cout);
    const auto &b = in[k + 1], &gamma = in[k + 2], &beta = in[k + 3], &mean = in[k + 4],
               &variance = in[k + 5];
    const double conv = sum[e] * step * largest[o] / 127;
    const double z = gamma[o] * (conv + b[o] - mean[o]) / std::sqrt(variance[o] + kEps) + beta[o];
    sum[e] = std::max(z, kSlope * z);
  }
  return sum;
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
  OpCase c{label, std::make_shared<Conv2dInt8>(second ? 2 : 1, kEps, kSlope), {{x, odd(255, 1 / 64.)}},
      [=](auto& in) { return reference(x, first, second, cout, in); }};
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
