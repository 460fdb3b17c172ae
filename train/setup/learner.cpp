#include "train/setup/learner.h"

#include <algorithm>

#include "tensor/device.h"

namespace patchcl {

namespace {

// The elements of those parameters whose names begin as one of `prefixes` says; neighbours in one piece.
std::vector<Elements> elements_of(const ParamLayout& layout, const std::vector<std::string>& prefixes) {
  if (prefixes.empty()) return {{0, layout.flat_size()}};
  std::vector<Elements> all;
  for (const ParamInfo& p : layout.parameters()) {
    const auto begins = [&](const std::string& prefix) { return p.name.starts_with(prefix); };
    if (std::none_of(prefixes.begin(), prefixes.end(), begins)) continue;
    all.push_back({p.offset, p.shape.numel()});
  }
  if (all.empty()) fail(ExitCode::internal, "learner", "no parameter is called ", prefixes[0], "...");
  return all;
}

// A batch of a phase's shapes over memory that nobody will read.
Batch shapes_only(const Phase& phase, const LearnerOptions& o, const Arena& memory) {
  const int64_t n = phase.labeled + phase.unlabeled, side = phase.size;
  Batch b;
  b.labeled = phase.labeled;
  b.ids.resize(size_t(n));
  for (size_t v = 0; v < phase.views.size(); ++v)
    b.views.push_back({memory.empty({n, side, side, o.network.in_channels}, o.dtype),
        has_own_labels(phase.views, v) ? memory.empty({n, side, side}, DType::u8) : b.labels()});
  return b;
}

}  // namespace

Learner::Learner(std::unique_ptr<Method> method, const LearnerOptions& options)
    : options_(options), method_(std::move(method)), parameters_("parameters", options.device),
      activations_("activations", options.device) {
  unet_ = std::make_unique<UNet>(layout_, options_.network);
  options_.run.size_multiple = unet_->size_multiple();
  method_->resolve(options_.run);
  phases_ = planned(method_->phases(options_.run), options_.run);
  for (const Phase& p : phases_)
    if (p.size % unet_->size_multiple())
      fail(ExitCode::usage, "train", "images of ", p.size, "x", p.size, ": no multiple of ",
          unet_->size_multiple(), ", which a UNet of ", options_.network.widths.size(),
          " levels needs; mend --size or --window");
  for (int64_t begin = 0; const Phase& p : phases_) {
    begins_.push_back(begin);
    begin += p.iterations;
  }
  method_->declare(layout_, options_.network);
  student_ = std::make_unique<ParamStore>(layout_, parameters_, options_.dtype, /*with_grad=*/true);
  student_->init(options_.seed);
  if (method_->has_teacher()) {
    teacher_ = std::make_unique<ParamStore>(layout_, parameters_, options_.dtype, /*with_grad=*/false);
    teacher_->copy_from(*student_);
  }
  optimizer_ = make_optimizer(options_.optimizer, layout_.flat_size(), options_.dtype, parameters_);
  state_ = {unet_.get(), student_.get(), teacher_.get(), &activations_, parameters_.zeros({2}, DType::i64),
      options_.seed, 0, options_.run.iterations, 0, options_.border_weight};
  go_to(0);
  method_->start(state_);
}

size_t Learner::phase_of(int64_t iteration) const {
  return size_t(std::upper_bound(begins_.begin() + 1, begins_.end(), iteration) - begins_.begin()) - 1;
}

void Learner::go_to(int64_t iteration) {
  state_.iteration = iteration;
  phase_ = phase_of(iteration);
  state_.stage = phase().stage;
  trained_ = elements_of(layout_, phase().trains);
}

void Learner::enter_phase() {
  if (!phase().keep_optimizer) optimizer_->reset();
  if (phase().copy_to_teacher && teacher_) teacher_->copy_from(*student_);
}

// What differs from step to step lies in device memory: the random state and the optimiser's rates.
void Learner::begin_step() {
  const int64_t words[2] = {int64_t(state_.seed), iteration()};
  copy_bytes(state_.rng.raw(), options_.device, words, Device::cpu, sizeof words);
  int64_t optimizer_began = 0;
  for (size_t p = 0; p <= phase_; ++p)
    if (!phases_[p].keep_optimizer) optimizer_began = begins_[p];
  optimizer_->set(learning_rate(), iteration() - optimizer_began + 1);
  method_->prepare(state_);
}

Var Learner::backward(Tape& tape, const Batch& batch, LossTerms& log) {
  student_->zero_grad();
  const Var total = loss(tape, batch, log);
  tape.backward(total);
  return total;
}

void Learner::update() {
  for (const Elements& part : trained_) optimizer_->step(student_->values(), student_->grads(), part);
}

void Learner::end_step() {
  method_->after_step(state_);
  go_to(iteration() + 1);
}

double Learner::step(const Batch& batch) {
  begin_step();
  double value = 0;
  {
    Tape tape(activations_);
    LossTerms log;
    value = backward(tape, batch, log).value().item();
  }
  update();
  end_step();
  return value;
}

size_t Learner::planned_bytes(size_t phase) const {
  const Arena plan = Arena::plan("plan", options_.device), inputs = Arena::plan("inputs", options_.device);
  TrainState s = state_;
  s.arena = &plan;
  s.held = nullptr;
  s.iteration = begins_[phase];
  s.stage = phases_[phase].stage;
  const Batch b = shapes_only(phases_[phase], options_, inputs);
  Tape tape(plan);
  LossTerms log;
  tape.backward(method_->loss(tape, s, b, log));
  return plan.stats().peak;
}

size_t Learner::planned_bytes() const {
  size_t most = 0;
  for (size_t p = 0; p < phases_.size(); ++p) most = std::max(most, planned_bytes(p));
  return most;
}

}  // namespace patchcl
