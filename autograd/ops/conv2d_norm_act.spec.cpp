#include "autograd/ops/conv2d_norm_act.spec.h"

#include <cmath>

#include "autograd/ops/conv2d_norm_act.h"
#include "autograd/spec.h"

namespace patchcl {

std::vector<double> conv_norm_act_reference(
    const Shape& x, int64_t first, int64_t second, int64_t cout, const std::vector<std::vector<double>>& in) {
  const int64_t n = x[0], h = x[1], w = x[2];
  std::vector<double> sum(size_t(n * h * w * cout), 0.);
  const size_t k = second ? 2 : 1;
  const auto scatter = [&](const std::vector<double>& data, int64_t channels, int64_t begin) {
    for (size_t e = 0; e < data.size(); ++e) {
      const int64_t c = int64_t(e) % channels, p = int64_t(e) / channels, image = p / (h * w), i = p / w % h,
                    j = p % w;
      for (int64_t tap = 0; tap < 9; ++tap) {
        const int64_t oi = i + 1 - tap / 3, oj = j + 1 - tap % 3;
        if (oi < 0 || oj < 0 || oi >= h || oj >= w) continue;
        for (int64_t o = 0; o < cout; ++o)
          sum[size_t(((image * h + oi) * w + oj) * cout + o)] +=
              data[e] * in[k][size_t((tap * (first + second) + begin + c) * cout + o)];
      }
    }
  };
  scatter(in[0], first, 0);
  if (second) scatter(in[1], second, first);
  for (size_t e = 0; e < sum.size(); ++e) {
    const size_t o = e % size_t(cout);
    const auto &b = in[k + 1], &gamma = in[k + 2], &beta = in[k + 3], &mean = in[k + 4],
               &variance = in[k + 5];
    const double z = gamma[o] * (sum[e] + b[o] - mean[o]) / std::sqrt(variance[o] + kSpecEps) + beta[o];
    sum[e] = std::max(z, kSpecSlope * z);
  }
  return sum;
}

namespace {

OpCase make(const std::string& label, int64_t n, int64_t h, int64_t w, int64_t first, int64_t second,
    int64_t cout, double tolerance_f32) {
  const Shape x{n, h, w, first}, channels{cout};
  OpCase c{label,
      std::make_shared<Conv2dNormAct>(second ? 2 : 1, Conv2dOptions{.padding = 1}, kSpecEps, kSpecSlope),
      {{x}}, [=](auto& in) { return conv_norm_act_reference(x, first, second, cout, in); }};
  if (second) c.inputs.push_back({{n, h, w, second}});
  for (const Shape& s : {Shape{3, 3, first + second, cout}, channels, channels, channels, channels})
    c.inputs.push_back({s});
  c.inputs.push_back({channels, draw::uniform(0.5, 2)});
  c.tolerance_f32 = tolerance_f32;
  if (first % 16 == 0 && cout % 16 == 0) c.tolerance_bf16 = 3e-2;  // Winograd's factors
  return c;
}

AddSpec spec{{"conv2d_norm_act",
    {make("one channel in", 1, 7, 5, 1, 0, 16, 3e-6), make("no multiple of 16", 2, 5, 6, 3, 2, 5, 3e-6),
        make("16 channels, odd size", 2, 9, 7, 16, 0, 16, 1.5e-5),
        make("concatenation", 1, 6, 11, 16, 32, 48, 1.5e-5), make("one pixel", 2, 1, 1, 16, 0, 32, 1.5e-5)}}};

}  // namespace
}  // namespace patchcl
