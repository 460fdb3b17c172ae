#include "autograd/ops/instance_norm.h"

#include <cmath>

#include "autograd/spec.h"

namespace patchcl {
namespace {

// From the formula, one image and channel after the other; variance as E[x^2] - m^2, another way than the
// kernels'.
std::vector<double> reference(const Shape& s, double eps, const std::vector<std::vector<double>>& in) {
  const int64_t pixels = s[1] * s[2], channels = s[3];
  std::vector<double> y(in[0].size());
  for (int64_t n = 0; n < s[0]; ++n)
    for (int64_t c = 0; c < channels; ++c) {
      const auto at = [&](int64_t p) { return size_t((n * pixels + p) * channels + c); };
      long double sum = 0, square = 0;
      for (int64_t p = 0; p < pixels; ++p) {
        sum += in[0][at(p)];
        square += static_cast<long double>(in[0][at(p)]) * in[0][at(p)];
      }
      const long double mean = sum / pixels, variance = square / pixels - mean * mean;
      const double gamma = in.size() > 1 ? in[1][size_t(c)] : 1, beta = in.size() > 1 ? in[2][size_t(c)] : 0;
      for (int64_t p = 0; p < pixels; ++p)
        y[at(p)] = gamma * double((in[0][at(p)] - mean) / std::sqrt(variance + eps)) + beta;
    }
  return y;
}

OpCase make(const std::string& label, const Shape& s, bool affine, double eps = 1e-5) {
  OpCase c{
      label, std::make_shared<InstanceNorm>(eps), {{s}}, [=](auto& in) { return reference(s, eps, in); }};
  if (affine) c.inputs.insert(c.inputs.end(), 2, {{s[3]}});
  return c;
}

AddSpec spec{{"instance_norm",
    {make("affine, odd size", {2, 3, 5, 3}, true), make("odd size", {3, 5, 3, 2}, false),
        make("one image, one channel, large eps", {1, 7, 3, 1}, false, 0.3),
        make("affine, 16 channels", {2, 9, 5, 16}, true), make("32 channels", {3, 4, 3, 32}, false),
        make("one row, 48 channels", {2, 1, 9, 48}, true)}}};

}  // namespace
}  // namespace patchcl
