#include "train/audit/step_audit.h"

#include <cmath>

namespace patchcl {
namespace {

LearnerOptions for_audit(LearnerOptions o) {
  o.dtype = DType::f64;
  o.device = Device::cpu;
  return o;
}

}  // namespace

StepAudit::StepAudit(const std::string& method, const OptionValues& values, LearnerOptions options)
    : learner_(method, values, for_audit(std::move(options))) {
  learner_.hold(&held_);
}

void StepAudit::set(const Batch& batch, int64_t iteration) {
  batch_ = in_f64(batch);
  batch_.host = nullptr;
  learner_.go_to(iteration);
  held_.clear();
  method_state_ = {};
  method().save(method_state_);
  for (auto& [store, kept] : {std::pair{&student(), &student_buffers_}, {&teacher(), &teacher_buffers_}}) {
    *kept = arena_.empty(store->buffers().shape(), DType::f64);
    copy(store->buffers(), *kept);
  }
}

Var StepAudit::record(Tape& tape, LossTerms& log) {
  if (!method_state_.tensors.empty()) method().load(method_state_);
  copy(student_buffers_, student().buffers());
  copy(teacher_buffers_, teacher().buffers());
  learner_.begin_step();
  return learner_.loss(tape, batch_, log);
}

double StepAudit::loss() {
  Tape tape(arena_, {.grad = false});
  LossTerms log;
  return record(tape, log).value().item();
}

double StepAudit::gradient() {
  student().zero_grad();
  Tape tape(arena_);
  LossTerms log;
  const Var total = record(tape, log);
  tape.backward(total);
  return total.value().item();
}

double StepAudit::train(double lr) {
  const double before = gradient();
  double* w = student().values().data<double>();
  const double* g = student().grads().data<double>();
  for (int64_t i = 0; i < student().values().numel(); ++i) w[i] -= lr * g[i];
  learner_.end_step();
  return before;
}

std::vector<TermGradient> StepAudit::terms(const std::function<void(size_t, size_t)>& progress) {
  std::vector<TermGradient> found;
  const auto say = [&](size_t done) {
    if (progress) progress(done, found.size() + 2);
  };
  {
    Tape tape(arena_, {.keep = true});
    LossTerms log;
    const Var total = record(tape, log);
    student().zero_grad();
    tape.backward(total);
    for (const auto& [name, term] : log.terms) {
      const Tensor& weight = tape.nodes()[size_t(term.id())].grad;
      found.push_back({name, term.value().item(), weight ? weight.item() : 0, {}});
    }
  }
  for (size_t i = 0; i < found.size(); ++i) {
    say(i + 1);
    student().zero_grad();
    Tape tape(arena_);
    LossTerms log;
    const Var total = record(tape, log);
    tape.backward(log.terms[i].second);
    found[i].gradient = arena_.empty(student().grads().shape(), DType::f64);
    copy(student().grads(), found[i].gradient);
  }
  say(found.size() + 1);
  gradient();
  say(found.size() + 2);
  return found;
}

std::string layer_of(const std::string& parameter) {
  const size_t first = parameter.find('.'), second = parameter.find('.', first + 1);
  if (parameter.starts_with("encoder.") || parameter.starts_with("decoder."))
    return parameter.substr(0, second);
  return parameter.substr(0, first);
}

std::vector<LayerNorm> norms_by_layer(const ParamLayout& layout, const Tensor& gradient) {
  std::vector<LayerNorm> norms;
  const double* g = gradient.data<double>();
  for (const ParamInfo& p : layout.parameters()) {
    const std::string layer = layer_of(p.name);
    if (norms.empty() || norms.back().layer != layer) norms.push_back({layer, 0});
    for (int64_t i = 0; i < p.shape.numel(); ++i)
      norms.back().norm = std::hypot(norms.back().norm, g[p.offset + i]);
  }
  return norms;
}

}  // namespace patchcl
