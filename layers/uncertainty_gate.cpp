#include "layers/uncertainty_gate.h"

#include <algorithm>

#include "autograd/ops/entropy_gate.h"
#include "autograd/ops/pointwise.h"

namespace patchcl {

namespace {
int64_t hidden_channels(int64_t channels) { return std::max<int64_t>(8, channels / 4); }
}  // namespace

UncertaintyGate::UncertaintyGate(
    ParamLayout& layout, const std::string& name, int64_t channels, int64_t kernel, int64_t classes)
    : name_(name), first_(layout, name + ".0", kernel, channels, hidden_channels(channels)),
      norm_(layout, name + ".1", hidden_channels(channels)),
      last_(layout, name + ".3", 1, hidden_channels(channels), classes) {}

Var UncertaintyGate::operator()(Pass& pass, const Var& x, Loc loc) const {
  const Tape::Scope scope(pass.tape(), name_);
  const Var hidden = relu(norm_(pass, first_(pass, {x}, loc), loc), loc);
  return entropy_gate(x, last_(pass, {hidden}, loc), loc);
}

}  // namespace patchcl
