// Learner: everything that one training step needs and changes - network, method, student, teacher,
// optimiser, random state - and where in the run it is. What trains, audits and benchmarks is the same
// object.
//
//   learner.begin_step();                       // learning rate, random state, what the method writes anew
//   loss = learner.backward(tape, batch, log);  // gradients of this step's loss: kernels
//   learner.update();                           // the optimiser: kernels
//   learner.end_step();                         // teacher, queues, the next iteration
// Between two phases of a method, enter_phase() does what the new one asks for.
#pragma once
#include <memory>

#include "train/methods/method.h"
#include "train/optim/optimizer.h"

namespace patchcl {

struct LearnerOptions {
  UNetConfig network;
  OptimizerOptions optimizer;
  RunShape run;
  uint64_t seed = 1337;
  DType dtype = DType::f32;
  Device device = Device::cpu;
  double border_weight = 0;  // what a pixel of the border class, the last, weighs beyond 1
};

class Learner {
 public:
  // Resolves the method's options, declares parameters, initialises them from the seed; the teacher starts as
  // a copy. Error(usage) for what does not fit together. Then start() once state is loaded.
  Learner(std::unique_ptr<Method> method, const LearnerOptions& options);
  // Of that method with these options.
  Learner(const std::string& method, const OptionValues& values, const LearnerOptions& options)
      : Learner(make_method(method, values), options) {}

  Method& method() const { return *method_; }
  const UNet& unet() const { return *unet_; }
  const ParamLayout& layout() const { return layout_; }
  ParamStore& student() { return *student_; }
  ParamStore* teacher() { return teacher_.get(); }  // null when the method has none
  Optimizer& optimizer() { return *optimizer_; }
  const LearnerOptions& options() const { return options_; }
  // Memory of what lives as long as the run, and of a step's activations.
  const Arena& parameters() const { return parameters_; }
  Arena& activations() { return activations_; }

  const std::vector<Phase>& phases() const { return phases_; }
  size_t phase_number() const { return phase_; }
  const Phase& phase() const { return phases_[phase_]; }
  int64_t phase_begin() const { return begins_[phase_]; }
  int64_t phase_end() const { return phase_begin() + phase().iterations; }
  size_t phase_of(int64_t iteration) const;
  int64_t iteration() const { return state_.iteration; }
  double learning_rate() const { return phase().rate.at(iteration()); }
  // The step that comes next is number `iteration`; nothing but the counter moves.
  void go_to(int64_t iteration);
  // Steps keep there what they hold constant (TrainState::held).
  void hold(HeldTensors* held) { state_.held = held; }
  // The phase of this iteration has just begun: what it asks for, but for weights from a file.
  void enter_phase();

  const TrainState& state() const { return state_; }
  void begin_step();
  // Only records the loss; whoever calls has zeroed the gradients. Method::loss under its name.
  Var loss(Tape& tape, const Batch& batch, LossTerms& log) { return method_->loss(tape, state_, batch, log); }
  Var backward(Tape& tape, const Batch& batch, LossTerms& log);
  void update();
  void end_step();
  // All four on a tape of its own; the loss.
  double step(const Batch& batch);

  // Bytes of activations that a step needs, the most of all phases, from dry runs.
  size_t planned_bytes() const;

 private:
  size_t planned_bytes(size_t phase) const;

  LearnerOptions options_;
  std::unique_ptr<Method> method_;
  Arena parameters_, activations_;
  ParamLayout layout_;
  std::unique_ptr<UNet> unet_;
  std::unique_ptr<ParamStore> student_, teacher_;
  std::unique_ptr<Optimizer> optimizer_;
  std::vector<Phase> phases_;
  std::vector<int64_t> begins_;
  size_t phase_ = 0;
  std::vector<Elements> trained_;  // of the flat parameters, in this phase
  TrainState state_;
};

}  // namespace patchcl
