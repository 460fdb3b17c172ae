#include "layers/uncertainty_gate.h"

#include <algorithm>

#include "autograd/ops/entropy_gate.h"
#include "autograd/ops/norm_act.h"

namespace patchcl {

namespace {
int64_t hidden_channels(int64_t channels) { return std::max<int64_t>(8, channels / 4); }

Tensor uncertainty_of(const Tensor& logits) {
  const Shape& s = logits.shape();
  const Arena host("uncertainty");
  const Tensor here = host.empty(s, logits.dtype()), map = host.empty({s[0], s[1], s[2]}, DType::f32);
  copy(logits, here);
  dispatch(here.dtype(), [&](auto zero) {
    const auto* a = here.data<decltype(zero)>();
    for (int64_t i = 0; i < map.numel(); ++i)
      map.data<float>()[i] = float(PixelEntropy(a + i * s[3], s[3]).share(s[3]));
  });
  return map;
}
}  // namespace

UncertaintyGate::UncertaintyGate(
    ParamLayout& layout, const std::string& name, int64_t channels, int64_t kernel, int64_t classes)
    : name_(name), first_(layout, name + ".0", kernel, channels, hidden_channels(channels)),
      norm_(layout, name + ".1", hidden_channels(channels)),
      last_(layout, name + ".3", 1, hidden_channels(channels), classes) {}

Var UncertaintyGate::operator()(Pass& pass, const Var& x, Loc loc) const {
  const Tape::Scope scope(pass.tape(), name_);
  const Var hidden = norm_act_dropout(first_(pass, {x}, loc), norm_.gamma(pass), norm_.beta(pass),
      norm_.batch_options(pass), /*slope=*/0, /*p=*/0, {}, 0, loc);
  return entropy_gate(x, last_(pass, {hidden}, loc), loc);
}

std::vector<Tensor> uncertainty_maps(const Tape& tape) {
  std::vector<Tensor> maps;
  for (const Tape::Node& node : tape.nodes())
    if (node.op && std::string(node.op->name()) == "entropy_gate")
      maps.push_back(uncertainty_of(tape.nodes()[size_t(node.inputs[1])].value));
  return maps;
}

}  // namespace patchcl
