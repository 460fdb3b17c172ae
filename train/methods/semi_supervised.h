// One step of learning from labelled and unlabelled images; the methods are small variations of it.
//
//   warm-up:        L = L_sup(student(x_l), y_l)
//   then:           L = L_sup + gamma w(t) L_cons(student(view of x_u), target of x_u)
//   copy-paste:     L = L_sup of mixed images, whose labels mix y_l and the target's pseudo-labels; no L_cons
//   with contrast:  L + beta L_plg, in the warm-up too unless warm-up-contrast is false (patchcl.h)
// gamma w(t) is a weight times a ramp-up from the end of the warm-up on. The target comes from the teacher,
// an average of the student (parameters and batch-norm buffers), and is a constant of the step. Labels of
// unlabelled images are never read: only the first `labeled` rows of the batch's labels are touched.
#pragma once
#include <memory>

#include "train/methods/copy_paste.h"
#include "train/methods/step.h"
#include "train/optim/optimizer.h"

namespace patchcl {

enum class Consistency { mean_squared_error, cross_entropy };

class SemiSupervised : public Method {
 public:
  bool has_teacher() const override { return true; }
  void resolve(const RunShape& run) override;
  std::vector<Phase> phases(const RunShape& run) const override;
  void start(const TrainState& s) override;
  void prepare(const TrainState& s) override;
  Var loss(Tape& tape, const TrainState& s, const Batch& b, LossTerms& log) override;
  void after_step(const TrainState& s) override;

 protected:
  // The options of each part, for the methods that read them. Members below hold their defaults.
  void read_schedule();  // labeled-batch, warm-up, ramp-up, consistency-weight
  void read_ema();
  void read_consistency();
  void read_pseudo_labels();
  void read_copy_paste();

  // softmax on the unlabelled images that the student is to agree with, (n,H,W,K).
  virtual Tensor target(Step& step) = 0;
  // The views of a batch; the student sees the last of them where the target saw the first.
  virtual std::vector<ViewKind> views() const { return {{}}; }
  // L_cons of the student's logits on unlabelled images.
  virtual Var consistency(Step& step, const Var& logits, const Tensor& target);
  // L_plg and its weight, or nothing. `target` is empty during the warm-up.
  virtual Var contrast(Step&, const Tensor& /*target*/) { return {}; }
  virtual double contrast_weight() const { return 0; }

  bool warming_up(const TrainState& s) const { return double(s.iteration) < warm_up_ * double(s.iterations); }
  // w(t): grows to 1 over the ramp-up that follows the warm-up.
  double ramp(const TrainState& s) const;
  // Logs how many pixels are confident.
  PseudoLabels decide(const Step& step, const Tensor& target, const Place& place) const;

  int64_t labeled_batch_ = 0;
  double warm_up_ = -1, ramp_up_ = 1, consistency_weight_ = 0.1, ema_ = 0.99;
  Consistency consistency_ = Consistency::mean_squared_error;
  double confidence_ = 0.75;
  bool largest_component_ = false;
  bool copy_paste_ = false;
  double pseudo_weight_ = 0.5;

 private:
  Var labeled_loss(Step& step);
  Var consistent_loss(Step& step, const Tensor& target);
  Var mixed_loss(Step& step, const Tensor& target);
  LabeledImages mix(Step& step, const Tensor& target) const;

  std::unique_ptr<Ema> average_;
  Tensor weight_;  // gamma w(t), (1) on the device
};

}  // namespace patchcl
