// One step of learning from labelled and unlabelled images; the methods are small variations of it.
//
//   warm-up:        L = L_sup(student(x_l), y_l)
//   then:           L = L_sup + gamma w(t) L_cons(student(view of x_u), target of x_u)
//   copy-paste:     L = L_sup of mixed images, whose labels mix y_l and the target's pseudo-labels; no L_cons
//   with contrast:  L + beta L_plg, in the warm-up too unless warm_up_contrast is false (patchcl.h)
// gamma w(t) is a weight times a ramp-up from the end of the warm-up on. The target comes from the teacher,
// an average of the student (parameters and batch-norm buffers), and is a constant of the step. Labels of
// unlabelled images are never read: only the first `labeled` rows of Batch::labels are touched.
#pragma once
#include <memory>

#include "train/methods/method.h"
#include "train/methods/options.h"
#include "train/methods/terms.h"
#include "train/optim/optimizer.h"

namespace patchcl {

class SemiSupervised : public Method {
 public:
  explicit SemiSupervised(const MethodOptions& options) : options_(options) {}
  bool has_teacher() const override { return true; }
  bool wants_unlabeled() const override { return true; }
  void start(const TrainState& s) override;
  void prepare(const TrainState& s) override;
  int stage(const TrainState& s) const override { return warming_up(s) ? 0 : 1; }
  Var loss(Tape& tape, const TrainState& s, const Batch& b, LossTerms& log) override;
  void after_step(const TrainState& s) override;

 protected:
  struct Step {
    Tape& tape;
    const TrainState& s;
    const Batch& b;
    LossTerms& log;
    bool warming_up;
    int64_t unlabeled() const { return b.images.shape()[0] - b.labeled; }
    Var unlabeled_images() const { return rows(tape, b.images, b.labeled, unlabeled(), "unlabelled images"); }
    DType dtype() const { return s.student->dtype(); }
  };

  // softmax on the unlabelled images that the student is to agree with, (n,H,W,K).
  virtual Tensor target(Step& step) = 0;
  // The images that the student sees in place of the batch's.
  virtual const Tensor& student_view(const Batch& b) const { return b.images; }
  // L_cons of the student's logits on unlabelled images.
  virtual Var consistency(Step& step, const Var& logits, const Tensor& target);
  // L_plg, or empty. `target` is empty during the warm-up.
  virtual Var contrast(Step&, const Tensor& /*target*/) { return {}; }

  bool warming_up(const TrainState& s) const {
    return double(s.iteration) < *options_.warm_up * double(s.iterations);
  }
  // w(t): grows to 1 over the ramp-up that follows the warm-up.
  double ramp(const TrainState& s) const;
  // As terms.h, in `memory`; on a dry tape only shapes. Logs how many pixels are confident.
  PseudoLabels decide(const Step& step, const Tensor& target, const Arena& memory) const;
  // Pseudo-labels stay on the GPU, but for their components.
  bool decides_on_gpu(const Step& step) const {
    return step.tape.arena().device() == Device::cuda && step.dtype() == DType::f32 &&
           !options_.largest_component;
  }

  MethodOptions options_;

 private:
  Var labeled_loss(Step& step);
  Var consistent_loss(Step& step, const Tensor& target);
  Var mixed_loss(Step& step, const Tensor& target);
  Var student_logits(Step& step, const Var& images);

  std::unique_ptr<Ema> ema_;
  Tensor consistency_weight_;  // gamma w(t), (1) on the device
};

}  // namespace patchcl
