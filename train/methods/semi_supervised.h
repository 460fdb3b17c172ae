// One step of learning from labelled and unlabelled images; the methods are small variations of it.
//
//   warm-up:        L = L_sup(student(x_l), y_l)
//   then:           L = L_sup + gamma w(t) L_cons(student(view of x_u), target of x_u)
//   mixed views:    the view of x_u has boxes of other images in it, and so have its pseudo-labels (mixing.h)
//   copy-paste:     L = L_sup of mixed images, whose labels mix y_l and the target's pseudo-labels; no L_cons
//   with --pdcr:    L + the contrast of patches of labelled, or of all images (pdcr.h)
//   with contrast:  L + beta L_plg, in the warm-up too unless warm-up-contrast is false (patchcl.h)
// gamma w(t) is a weight times a ramp-up from the end of the warm-up on. The target comes from the teacher,
// an average of the student (parameters and batch-norm buffers), and is a constant of the step. Labels of
// unlabelled images are never read: only the first `labeled` rows of the batch's labels are touched.
#pragma once
#include "train/methods/averaged_teacher.h"
#include "train/methods/mixing.h"
#include "train/methods/pdcr.h"

namespace patchcl {

enum class Consistency { mean_squared_error, cross_entropy, dice };
// What the student sees of unlabelled images: the image, METHODS 4.2's strong view, or that of 7.4.
enum class Strong { off, jittered, blurred };

// What a contrast may look at besides the batch. Parts that are not there are empty.
struct Passes {
  Prediction target;    // on the unlabelled images; none in the warm-up
  Var student_map;      // the decoder's last map of what the student saw: labelled, then unlabelled images
  LabeledImages mixed;  // what the student saw for unlabelled images, where they were mixed
};

class SemiSupervised : public AveragedTeacher {
 public:
  void resolve(const RunShape& run) override;
  std::vector<Phase> phases(const RunShape& run) const override;
  void declare(ParamLayout& layout, const UNetConfig& config) override { pdcr_.declare(layout, config); }
  void start(const TrainState& s) override;
  void prepare(const TrainState& s) override;
  Var loss(Tape& tape, const TrainState& s, const Batch& b, LossTerms& log) override;
  // Mixed images, components and PDCR's patches are the host's work.
  bool recordable() const override {
    return !copy_paste_ && mix_ == Mix::none && !largest_component_ && !pdcr_.on();
  }

 protected:
  // The options of each part, for the methods that read them. Members below hold their defaults.
  void read_schedule();  // labeled-batch, warm-up, ramp-up, consistency-weight
  void read_teacher();   // ema, teacher-norm, teacher-dropout, teacher-from-warm-up
  void read_consistency();
  void read_pseudo_labels();
  void read_copy_paste();
  void read_views();  // strong, mix
  void read_pdcr() { pdcr_.declare(options(), /*unlabeled=*/true); }

  // What the student is to agree with on the unlabelled images.
  virtual Prediction target(Step& step);
  // The views of a batch; the student sees the last of them where the target saw the first.
  virtual std::vector<ViewKind> views() const;
  // L_cons of the student's logits on unlabelled images.
  virtual Var consistency(Step& step, const Var& logits, const Tensor& target);
  // L_sup on labelled images alone.
  Var labeled_loss(Step& step, Passes& passes);
  // gamma w(t) of an agreement, logged.
  Var weighted(Step& step, const Var& agreed) const;
  // L_plg, or nothing, and its weight.
  virtual Var contrast(Step&, const Passes&) { return {}; }
  virtual double contrast_weight(const TrainState&) const { return 0; }
  virtual bool contrast_ramps() const { return false; }

  bool warming_up(const TrainState& s) const { return double(s.iteration) < warm_up_ * double(s.iterations); }
  // w(t): grows to 1 over the ramp-up that follows the warm-up.
  double ramp(const TrainState& s) const;
  // Logs how many pixels are confident.
  PseudoLabels decide(const Step& step, const Tensor& target, const Place& place) const;

  int64_t labeled_batch_ = 0;
  double warm_up_ = -1, ramp_up_ = 1, consistency_weight_ = 0.1;
  Consistency consistency_ = Consistency::mean_squared_error;
  bool full_warm_up_ = false, teacher_from_warm_up_ = false;
  double confidence_ = 0.75;
  bool largest_component_ = false;
  bool copy_paste_ = false;
  double pseudo_weight_ = 0.5;
  Strong strong_ = Strong::off;
  Mix mix_ = Mix::none;
  Pdcr pdcr_;

 private:
  SeenLabels seen_labels(const Step& step, const Passes& passes) const;
  Var consistent_loss(Step& step, Passes& passes);
  Var copy_paste_loss(Step& step, const Tensor& target);
  LabeledImages copy_and_paste(Step& step, const Tensor& target) const;
  LabeledImages mixed_views(Step& step, const Tensor& target) const;
  Var agreement(const Var& logits, const Var& labels, const Var& weight) const;

  Tensor weight_;  // gamma w(t), (1) on the device
};

}  // namespace patchcl
