#include "autograd/ops/conv2d_norm_act.h"

#include <algorithm>

namespace patchcl {

Shapes Conv2dNormAct::norm_shapes(const Shapes& x) const {
  Shapes shapes{conv_.shape({x.begin(), x.begin() + std::ptrdiff_t(conv_inputs_)})};
  shapes.insert(shapes.end(), x.begin() + std::ptrdiff_t(conv_inputs_), x.end());
  return shapes;
}

Shape Conv2dNormAct::shape(const Shapes& x) const {
  require(x.size() == conv_inputs_ + 4, name(), "wants conv2d's ", conv_inputs_,
      " inputs, gamma, beta, running mean and running variance, got ", x.size(), " inputs");
  return norm_.shape(norm_shapes(x));
}

// Scale and shift; or, one after the other, what norm_act keeps.
std::vector<AuxSpec> Conv2dNormAct::aux(const Shapes& x, DType dtype) const {
  return norm_.aux(norm_shapes(x), dtype);
}

size_t Conv2dNormAct::workspace(const Shapes& x, DType dtype, Device device) const {
  return std::max(conv_.workspace({x.begin(), x.begin() + std::ptrdiff_t(conv_inputs_)}, dtype, device),
      norm_.workspace(norm_shapes(x), dtype, device));
}

void Conv2dNormAct::forward_separately(const Forward& f) const {
  conv_.forward({f.x.first(conv_inputs_), f.y, {}, f.workspace});
  std::vector<Tensor> x{f.y};
  x.insert(x.end(), f.x.begin() + std::ptrdiff_t(conv_inputs_), f.x.end());
  norm_.forward({x, f.y, f.aux, f.workspace});
}

void Conv2dNormAct::forward_cpu(const Forward& f) const {
  if (f.y.dtype() == DType::f64) return forward_separately(f);
  const auto numbers = [](const Tensor& t) { return t.data<float>(); };
  const float *bias = numbers(f.x[conv_inputs_ - 1]), *gamma = numbers(f.x[conv_inputs_]),
              *beta = numbers(f.x[conv_inputs_ + 1]);
  const float *mean = numbers(f.x[conv_inputs_ + 2]), *variance = numbers(f.x[conv_inputs_ + 3]);
  float *scale = numbers(f.aux[0]), *shift = numbers(f.aux[1]);
  for (int64_t c = 0; c < f.y.shape()[3]; ++c) {
    const FoldedNorm folded = fold_norm(bias[c], gamma[c], beta[c], mean[c], variance[c], eps_);
    scale[c] = float(folded.scale);
    shift[c] = float(folded.shift);
  }
  if (!conv_.forward_scaled({f.x.first(conv_inputs_), f.y, {}, f.workspace}, {shift, scale, float(slope_)}))
    forward_separately(f);
}

void Conv2dNormAct::backward_cpu(const Backward&) const {
  fail(ExitCode::internal, name(), "has no gradient");
}

Var conv2d_norm_act(const std::vector<Var>& x, const Var& w, const Var& b, const Var& gamma, const Var& beta,
    const BatchNormOptions& norm, double slope, Conv2dOptions options, Loc loc) {
  Tape& tape = w.tape();
  require(!tape.options().grad && !norm.training, "conv2d_norm_act",
      "is for inference; conv2d and norm_act_dropout have gradients");
  std::vector<Var> inputs = x;
  for (const Var& v : {w, b, gamma, beta}) inputs.push_back(v);
  inputs.push_back(tape.constant(norm.running_mean, "running mean"));
  inputs.push_back(tape.constant(norm.running_var, "running variance"));
  return tape.apply(
      std::make_shared<Conv2dNormAct>(int(x.size()), options, norm.eps, slope), std::move(inputs), loc);
}

}  // namespace patchcl
