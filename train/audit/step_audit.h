// One training step under audit: a method's loss in f64 as a repeatable function of the student's weights.
//
// Repeatable means: before each evaluation the method's own state (queues, thresholds) and the running
// statistics of batch norm are put back, and every draw depends on (seed, iteration) alone. What a step holds
// constant (teacher, pseudo-labels, queue statistics) does not depend smoothly on the student, so differences
// of the loss see what is differentiated.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "train/methods/method.h"
#include "train/methods/options.h"

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
  // A model and a method of its own, weights initialised from `seed`.
  StepAudit(const std::string& method, const MethodOptions& options, const UNetConfig& unet, uint64_t seed);

  Method& method() { return *method_; }
  ParamStore& student() { return student_; }
  ParamStore& teacher() { return teacher_; }
  const ParamLayout& layout() const { return layout_; }

  // What is audited from here on: this batch at this point of a run, with the method's state as it is now.
  // f32 images are converted.
  void set(const Batch& batch, int64_t iteration, int64_t iterations);
  // A plain step of gradient descent and what follows it (teacher, running statistics, queues): leaves the
  // initial state, in which a queue is empty and the contrast absent. Returns the loss.
  double train(double lr);

  // The loss at the student's present values.
  double loss();
  // The same; student().grads() become dL/dw.
  double gradient();
  // The terms that the method logs and that depend on the student, one backward pass each; student().grads()
  // hold dL/dw.
  std::vector<TermGradient> terms();
  // Records the step on `tape`; the total loss.
  Var record(Tape& tape, LossTerms& log);

 private:
  Arena arena_{"audit"};
  std::unique_ptr<Method> method_;
  ParamLayout layout_;
  std::unique_ptr<UNet> unet_;
  ParamStore student_, teacher_;
  TrainState state_;
  Batch batch_;
  TensorFile method_state_;
  Tensor student_buffers_, teacher_buffers_;
  uint64_t seed_;
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
