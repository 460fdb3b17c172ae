#include "layers/projection_head.h"

#include "autograd/ops/global_avg_pool.h"
#include "autograd/ops/l2_normalize.h"
#include "autograd/ops/linear.h"
#include "autograd/ops/pointwise.h"

namespace patchcl {

ProjectionHead::ProjectionHead(ParamLayout& layout, int64_t in, int64_t hidden, int64_t out) : out_(out) {
  const auto weight = [&](const std::string& name, int64_t from, int64_t to) {
    return layout.add_parameter(
        {name + ".weight", {from, to}, ParamKind::linear_weight, Init::fan_in_uniform, from});
  };
  const auto vector = [&](const std::string& name, int64_t n, Init init, int64_t fan_in) {
    return layout.add_parameter({name, {n}, ParamKind::vector, init, fan_in});
  };
  w1_ = weight("projection.0", in, hidden);
  b1_ = vector("projection.0.bias", hidden, Init::fan_in_uniform, in);
  gamma_ = vector("projection.1.weight", hidden, Init::ones, 0);
  beta_ = vector("projection.1.bias", hidden, Init::zeros, 0);
  mean_ = layout.add_buffer({"projection.1.running_mean", {hidden}, ParamKind::vector, Init::zeros});
  var_ = layout.add_buffer({"projection.1.running_var", {hidden}, ParamKind::vector, Init::ones});
  w2_ = weight("projection.3", hidden, out);
  b2_ = vector("projection.3.bias", out, Init::fan_in_uniform, hidden);
}

Var ProjectionHead::forward(Pass& pass, const Var& bottleneck) const {
  const Tape::Scope scope(pass.tape(), "projection");
  const Var pooled = global_avg_pool(bottleneck);
  const Var hidden = linear(pooled, pass.param(w1_), pass.param(b1_));
  const Var normed =
      batch_norm(hidden, pass.param(gamma_), pass.param(beta_), pass.norm_options(mean_, var_));
  return l2_normalize(linear(relu(normed), pass.param(w2_), pass.param(b2_)));  // EQ: 1.6 embedding g
}

}  // namespace patchcl
