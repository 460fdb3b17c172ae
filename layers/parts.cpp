#include "layers/parts.h"

#include <algorithm>

#include "autograd/ops/conv2d_int8.h"
#include "autograd/ops/conv2d_norm_act.h"
#include "autograd/ops/conv_transpose2d.h"
#include "autograd/ops/dropout.h"
#include "autograd/ops/instance_norm.h"
#include "autograd/ops/linear.h"
#include "autograd/ops/pointwise.h"
#include "tensor/device.h"

namespace patchcl {

namespace {

constexpr double kSlope = 0.01;  // LeakyReLU, PyTorch's default

// The bias has the weight's fan-in, as in PyTorch.
WeightAndBias declare(
    ParamLayout& layout, const std::string& name, const Shape& shape, ParamKind kind, int64_t fan_in) {
  const int weight = layout.add_parameter({name + ".weight", shape, kind, Init::fan_in_uniform, fan_in});
  return {weight,
      layout.add_parameter({name + ".bias", {shape[-1]}, ParamKind::vector, Init::fan_in_uniform, fan_in})};
}

// range: (2) on the host, [lo, hi], which comes to hold all numbers of x, f32 or f64.
void widen_range(const std::vector<Var>& x, const Tensor& range) {
  for (const Var& v : x)
    dispatch(v.value().dtype(), [&](auto zero) {
      using T = decltype(zero);
      const T* numbers = v.value().data<T>();
      const auto [least, most] = std::minmax_element(numbers, numbers + v.value().numel());
      range.data<T>()[0] = std::min(range.data<T>()[0], *least);
      range.data<T>()[1] = std::max(range.data<T>()[1], *most);
    });
}

}  // namespace

ConvLayer::ConvLayer(ParamLayout& layout, const std::string& name, int64_t kernel, int64_t in, int64_t out)
    : kernel_(kernel), indices_(declare(layout, name, {kernel, kernel, in, out}, ParamKind::conv_weight,
                           kernel * kernel * in)) {}

Var ConvLayer::operator()(Pass& pass, const std::vector<Var>& x, Loc loc) const {
  return conv2d(x, weight(pass), bias(pass), options(), loc);
}

// PyTorch takes the fan-in of a transposed convolution from the outputs.
ConvTransposeLayer::ConvTransposeLayer(ParamLayout& layout, const std::string& name, int64_t in, int64_t out)
    : indices_(declare(layout, name, {2, 2, in, out}, ParamKind::conv_transpose_weight, 4 * out)) {}

Var ConvTransposeLayer::operator()(Pass& pass, const Var& x, Loc loc) const {
  return conv_transpose2d(x, pass.param(indices_.weight), pass.param(indices_.bias), loc);
}

LinearLayer::LinearLayer(ParamLayout& layout, const std::string& name, int64_t in, int64_t out)
    : indices_(declare(layout, name, {in, out}, ParamKind::linear_weight, in)) {}

Var LinearLayer::operator()(Pass& pass, const Var& x, Loc loc) const {
  return linear(x, pass.param(indices_.weight), pass.param(indices_.bias), loc);
}

NormLayer::NormLayer(ParamLayout& layout, const std::string& name, int64_t channels, NormKind kind)
    : kind_(kind) {
  const auto vector = [&](const char* part, Init init) {
    return ParamInfo{name + part, {channels}, ParamKind::vector, init};
  };
  if (kind == NormKind::batch || kind == NormKind::instance_affine) {
    affine_.weight = layout.add_parameter(vector(".weight", Init::ones));
    affine_.bias = layout.add_parameter(vector(".bias", Init::zeros));
  }
  if (kind == NormKind::batch) {
    mean_ = layout.add_buffer(vector(".running_mean", Init::zeros));
    var_ = layout.add_buffer(vector(".running_var", Init::ones));
  }
}

Var NormLayer::operator()(Pass& pass, const Var& x, Loc loc) const {
  switch (kind_) {
    case NormKind::batch: return batch_norm(x, gamma(pass), beta(pass), batch_options(pass), loc);
    case NormKind::instance: return instance_norm(x, loc);
    case NormKind::instance_affine: return instance_norm(x, gamma(pass), beta(pass), loc);
    case NormKind::none: return x;
  }
  fail(ExitCode::internal, "norm", "no kind ", int(kind_));
}

ConvNormAct::ConvNormAct(ParamLayout& layout, const std::string& conv, const std::string& norm, int64_t in,
    int64_t out, const Config& config)
    : conv_(layout, conv, 3, in, out), norm_(layout, norm, out, config.norm), config_(config) {
  if (config.ranges && config.fused && config.norm == NormKind::batch && in % 16 == 0 && out % 16 == 0)
    range_ = layout.add_buffer({conv + ".range", {2}});
}

Var ConvNormAct::operator()(Pass& pass, const std::vector<Var>& x, Loc loc) const {
  const double p = pass.training() ? config_.dropout : 0;
  if (config_.fused && config_.norm == NormKind::batch) return fused(pass, x, p, loc);
  const Var a = leaky_relu(norm_(pass, conv_(pass, x, loc), loc), kSlope, loc);
  return p > 0 ? dropout(a, p, pass.rng(), pass.next_site(), loc) : a;
}

Var ConvNormAct::fused(Pass& pass, const std::vector<Var>& x, double p, Loc loc) const {
  const BatchNormOptions options = norm_.batch_options(pass);
  if (p == 0 && !options.training && !pass.tape().options().grad) return inferred(pass, x, options, loc);
  const Var z = conv_(pass, x, loc);
  const uint32_t site = p > 0 ? pass.next_site() : 0;
  return norm_act_dropout(z, norm_.gamma(pass), norm_.beta(pass), options, kSlope, p, pass.rng(), site, loc);
}

Var ConvNormAct::inferred(
    Pass& pass, const std::vector<Var>& x, const BatchNormOptions& norm, Loc loc) const {
  if (range_ && pass.notes_ranges()) widen_range(x, pass.store().buffer(*range_));
  const Var w = conv_.weight(pass), b = conv_.bias(pass), gamma = norm_.gamma(pass), beta = norm_.beta(pass);
  if (range_ && math_mode() == MathMode::int8)
    return conv2d_int8(x, w, b, gamma, beta, norm, kSlope, pass.store().buffer(*range_), loc);
  return conv2d_norm_act(x, w, b, gamma, beta, norm, kSlope, conv_.options(), loc);
}

}  // namespace patchcl
