// Bidirectional copy-paste as published (Bai et al., CVPR 2023; METHODS 7.2), on SSL4MIS's UNet.
//
// A batch is cut into halves: labelled A, B and unlabelled U, V. M is 0 in one square of 2/3 of each side,
// the same for the whole batch, 1 outside.
//   region loss   R(z; w_out, w_in) = CE + Dice, each w_out times its mean over the pixels outside of the
//                 square plus w_in times that inside; Dice over all images of the region, e = 1e-10
//   pre-training  x = M A + (1 - M) B,  L = 1/2 R(z; 1, 1)
//   self-training from the best of it, weights and optimiser; the teacher starts there too
//                 x_u = M U + (1 - M) A,  x_l = M B + (1 - M) V
//                 L = 1/2 [ R(z_u; 1/2, 1) + R(z_l; 1, 1/2) ],  two passes of the student
// Labels of U and V: the teacher's argmax in training mode, of each class the largest component. The teacher
// is 0.99 of itself after each step, parameters and buffers; the learning rate stays what it is.
#pragma once
#include "train/methods/averaged_teacher.h"
#include "train/methods/mixing.h"

namespace patchcl {

class Bcp final : public AveragedTeacher {
 public:
  Bcp();
  void resolve(const RunShape& run) override;
  std::vector<Phase> phases(const RunShape& run) const override;
  Schedule usual_schedule() const override { return Schedule::constant; }
  Var loss(Tape& tape, const TrainState& s, const Batch& b, LossTerms& log) override;

 protected:
  PredictMode usual_mode() const override { return kTraining; }
  bool averages(const TrainState& s) const override { return !pre_training(s); }
  double decay(const TrainState&) const override { return ema_; }

 private:
  // Images of which the square is another image's, and the weights of their pixels: in the Dice of the inside
  // (to.weight) and of the outside, and in CE.
  struct Mixed {
    LabeledImages to;
    Tensor outside, ce_weight;
    explicit Mixed(const Shape& images);
  };
  struct RegionLoss {
    Var ce, dice;
  };

  int64_t pre_training_steps(const RunShape& run) const;
  bool pre_training(const TrainState& s) const { return s.iteration < pre_training_steps_; }
  // base outside of the square, patch inside.
  static void mix(const LabeledImages& base, const LabeledImages& patch, const Box& square, double w_out,
      double w_in, const Mixed& x);
  Tensor pseudo_labels(Step& step, int64_t begin, int64_t count, uint32_t site) const;
  RegionLoss region_loss(Step& step, const Mixed& x, double w_out, double w_in, uint32_t site) const;

  int64_t labeled_batch_ = 0, pre_training_steps_ = 0;
  double pre_training_ = 0.25, pseudo_weight_ = 0.5;
  bool largest_component_ = true;
};

}  // namespace patchcl
