#include "train/audit/step_audit.h"

#include <cmath>

#include "train/methods/factory.h"

namespace patchcl {
namespace {

Tensor to_f64(const Tensor& t, const Arena& arena) {
  if (!t || t.dtype() == DType::f64) return t;
  const Tensor out = arena.empty(t.shape(), DType::f64);
  std::copy(t.data<float>(), t.data<float>() + t.numel(), out.data<double>());
  return out;
}

}  // namespace

StepAudit::StepAudit(
    const std::string& method, const MethodOptions& options, const UNetConfig& unet, uint64_t seed)
    : method_(make_method(method, options)), unet_(std::make_unique<UNet>(layout_, unet)),
      student_((method_->declare(layout_, unet), layout_), arena_, DType::f64, /*with_grad=*/true),
      teacher_(layout_, arena_, DType::f64, /*with_grad=*/false) {
  student_.init(seed);
  teacher_.copy_from(student_);
  state_.model = unet_.get();
  state_.student = &student_;
  state_.teacher = method_->has_teacher() ? &teacher_ : nullptr;
  state_.arena = &arena_;
  state_.seed = seed;
  state_.rng = arena_.zeros({2}, DType::i64);
  method_->start(state_);
}

void StepAudit::set(const Batch& batch, int64_t iteration, int64_t iterations) {
  batch_ = batch;
  batch_.images = to_f64(batch.images, arena_);
  batch_.strong = to_f64(batch.strong, arena_);
  state_.iteration = iteration;
  state_.iterations = iterations;
  state_.rng.data<int64_t>()[0] = int64_t(state_.seed);
  state_.rng.data<int64_t>()[1] = iteration;
  method_state_ = {};
  method_->save(method_state_);
  for (auto& [store, kept] : {std::pair{&student_, &student_buffers_}, {&teacher_, &teacher_buffers_}}) {
    *kept = arena_.empty(store->buffers().shape(), DType::f64);
    copy(store->buffers(), *kept);
  }
}

Var StepAudit::record(Tape& tape, LossTerms& log) {
  if (!method_state_.tensors.empty()) method_->load(method_state_);
  copy(student_buffers_, student_.buffers());
  copy(teacher_buffers_, teacher_.buffers());
  method_->prepare(state_);
  return method_->loss(tape, state_, batch_, log);
}

double StepAudit::loss() {
  Tape tape(arena_, {.grad = false});
  LossTerms log;
  return record(tape, log).value().item();
}

double StepAudit::gradient() {
  student_.zero_grad();
  Tape tape(arena_);
  LossTerms log;
  const Var total = record(tape, log);
  tape.backward(total);
  return total.value().item();
}

double StepAudit::train(double lr) {
  const double before = gradient();
  double* w = student_.values().data<double>();
  const double* g = student_.grads().data<double>();
  for (int64_t i = 0; i < student_.values().numel(); ++i) w[i] -= lr * g[i];
  method_->after_step(state_);
  return before;
}

std::vector<TermGradient> StepAudit::terms() {
  std::vector<TermGradient> found;
  {
    Tape tape(arena_, {.keep = true});
    LossTerms log;
    const Var total = record(tape, log);
    student_.zero_grad();
    tape.backward(total);
    for (const auto& [name, term] : log.terms) {
      const Tensor& weight = tape.nodes()[size_t(term.id())].grad;
      found.push_back({name, term.value().item(), weight ? weight.item() : 0, {}});
    }
  }
  for (size_t i = 0; i < found.size(); ++i) {
    student_.zero_grad();
    Tape tape(arena_);
    LossTerms log;
    const Var total = record(tape, log);
    tape.backward(log.terms[i].second);
    found[i].gradient = arena_.empty(student_.grads().shape(), DType::f64);
    copy(student_.grads(), found[i].gradient);
  }
  gradient();
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
