// One training step under audit: a learner's loss in f64 as a repeatable function of the student's weights.
//
// Repeatable means: before each evaluation the method's own state (queues, thresholds) and the running
// statistics of batch norm are put back, and every draw depends on (seed, iteration) alone. What a step holds
// constant (teacher, pseudo-labels, queue statistics) does not depend smoothly on the student, or is kept
// from the first evaluation (Step::held), so differences of the loss see what is differentiated.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "train/setup/learner.h"

namespace patchcl {

// One loss term of a step: dL/d(term), 0 when the total does not contain it, and d(term)/dw for all
// parameters, flat.
struct TermGradient {
  std::string name;
  double value = 0, weight = 0;
  Tensor gradient;
};

class StepAudit {
 public:
  // A learner of its own, in f64 on the CPU, that otherwise follows `options`.
  StepAudit(const std::string& method, const OptionValues& values, LearnerOptions options);

  Learner& learner() { return learner_; }
  Method& method() { return learner_.method(); }
  ParamStore& student() { return learner_.student(); }
  // The teacher, or the student where the method has none.
  ParamStore& teacher() { return learner_.teacher() ? *learner_.teacher() : learner_.student(); }
  const ParamLayout& layout() const { return learner_.layout(); }

  // What is audited from here on: this batch at this point of a run, with the method's state as it is now.
  // f32 images are converted.
  void set(const Batch& batch, int64_t iteration);
  // A plain step of gradient descent and what follows it (teacher, running statistics, queues): leaves the
  // initial state, in which a queue is empty and the contrast absent. Returns the loss.
  double train(double lr);

  const Batch& batch() const { return batch_; }

  // The loss at the student's present values.
  double loss();
  // The same; student().grads() become dL/dw.
  double gradient();
  // The terms that the method logs and that depend on the student, one backward pass each; student().grads()
  // hold dL/dw. `progress` hears of each pass.
  std::vector<TermGradient> terms(const std::function<void(size_t done, size_t all)>& progress = {});
  // Records the step on `tape`; the total loss.
  Var record(Tape& tape, LossTerms& log);

 private:
  Arena arena_{"audit"};
  Learner learner_;
  Batch batch_;
  TensorFile method_state_;
  HeldTensors held_;
  Tensor student_buffers_, teacher_buffers_;
};

// "encoder.down2" for "encoder.down2.maxpool_conv.1.conv_conv.0.weight": parameters of one level of the
// network.
std::string layer_of(const std::string& parameter);

// Norm of a flat gradient by layer, in the order of the layout.
struct LayerNorm {
  std::string layer;
  double norm;
};
std::vector<LayerNorm> norms_by_layer(const ParamLayout& layout, const Tensor& gradient);

}  // namespace patchcl
