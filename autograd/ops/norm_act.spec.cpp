#include "autograd/ops/norm_act.h"

#include <cmath>

#include "autograd/spec.h"

namespace patchcl {
namespace {

const double kSeed = 99, kStep = 5;

// From the formula: moments as E[x^2] - m^2 here, another way than the kernels'.
std::vector<double> reference(const NormAct::Config& config, const std::vector<std::vector<double>>& in) {
  const std::vector<double>&x = in[0], &gamma = in[1], &beta = in[2];
  const size_t channels = gamma.size(), rows = x.size() / channels;
  std::vector<double> mean = in[3], variance = in[4], y(x.size());
  if (config.training)
    for (size_t c = 0; c < channels; ++c) {
      long double sum = 0, square = 0;
      for (size_t e = c; e < x.size(); e += channels) {
        sum += x[e];
        square += static_cast<long double>(x[e]) * x[e];
      }
      mean[c] = double(sum / rows);
      variance[c] = double(square / rows - (sum / rows) * (sum / rows));
    }
  for (size_t e = 0; e < x.size(); ++e) {
    const size_t c = e % channels;
    const double z = gamma[c] * (x[e] - mean[c]) / std::sqrt(variance[c] + config.eps) + beta[c];
    const bool kept = random_bits(uint64_t(kSeed), uint64_t(kStep), config.dropout.site, e) / 4294967296.0 >=
                      config.dropout.p;
    const double activation = z > 0 ? z : z * config.slope;
    y[e] = kept ? activation / (1 - config.dropout.p) : 0;
  }
  return y;
}

OpCase make(const std::string& label, const Shape& shape, const NormAct::Config& config) {
  const Shape channels{shape[-1]};
  OpCase c{
      label, std::make_shared<NormAct>(config), {}, [config](auto& in) { return reference(config, in); }};
  c.inputs = {{shape}, {channels}, {channels}, {channels}, {channels, draw::uniform(0.5, 2)}};
  if (config.dropout.p > 0) c.inputs.push_back({{2}, draw::values({kSeed, kStep}), DType::i64});
  return c;
}

AddSpec batch_norm_spec{{"batch_norm",
    {make("odd size", {2, 3, 5, 3}, {}), make("one channel, large eps", {1, 7, 3, 1}, {.eps = 0.3}),
        make("running statistics", {1, 5, 3, 2}, {.training = false}), make("16 channels", {2, 9, 5, 16}, {}),
        make("one row, 48 channels", {1, 1, 9, 48}, {}),
        make("running statistics, 16 channels", {1, 5, 3, 16}, {.training = false}),
        make("8 channels", {2, 9, 5, 8}, {}), make("one channel, 16 pixels", {1, 4, 4, 1}, {})}}};

AddSpec fused_spec{{"norm_act_dropout",
    {make("odd size", {2, 3, 5, 3}, {.slope = 0.2, .dropout = {0.3, 4}}),
        make("one channel", {1, 7, 5, 1}, {.slope = 0.01, .dropout = {0.5, 1}}),
        make("no dropout", {1, 5, 3, 2}, {.slope = 0.1}),
        make("running statistics", {1, 3, 5, 2}, {.training = false, .slope = 0.1, .dropout = {0.4, 2}}),
        make("16 channels", {2, 9, 5, 16}, {.slope = 0.01, .dropout = {0.3, 9}}),
        make("32 channels, no dropout", {1, 7, 5, 32}, {.slope = 0.1}),
        make("112 channels", {1, 3, 5, 112}, {.slope = 0.1, .dropout = {0.2, 9}}),
        make("running statistics, 16 channels", {1, 3, 5, 16},
            {.training = false, .slope = 0.1, .dropout = {0.4, 2}}),
        make("8 channels, ReLU", {2, 9, 5, 8}, {.slope = 0}),
        make("4 channels", {1, 6, 10, 4}, {.slope = 0.1, .dropout = {0.3, 9}})}}};

}  // namespace
}  // namespace patchcl
