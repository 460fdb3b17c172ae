// UniMatch (Yang et al., CVPR 2023) as released for medical images (METHODS 7.5): one network, no teacher.
//
// Labelled images l, unlabelled u, and as many further ones v, whose boxes are cut into u's strong views.
//   pass 1      (l, u): the encoder's maps, and the same with channels dropped (p 1/2), both through the
//               decoder: plain logits and, of u, fp logits
//   y, c        of u from its plain logits, of v in evaluation mode; in the boxes those of v
//   pass 2      two strong views of u, each with its own boxes from v's
//   L = 1/2 [ 1/2 (CE + Dice)(l) + 1/4 D(s1) + 1/4 D(s2) + 1/2 D(fp) ],  D Dice on pixels with c >= 0.95
// u and v, as they are, are of 8 bits (--eight-bits), as their strong views are.
#pragma once
#include "train/methods/mixing.h"
#include "train/methods/step.h"

namespace patchcl {

class UniMatch final : public Method {
 public:
  UniMatch();
  void resolve(const RunShape& run) override;
  std::vector<Phase> phases(const RunShape& run) const override;
  Var loss(Tape& tape, const TrainState& s, const Batch& b, LossTerms& log) override;

 private:
  struct Logits {
    Var labeled, unlabeled, perturbed;
  };
  Logits first_pass(Step& step, int64_t m) const;
  // u, behind them v, as they are.
  Tensor weak_view(const Step& step) const;
  // The view of u with v's boxes, and u's pseudo-labels with v's.
  LabeledImages strong_view(
      const Step& step, size_t view, const PseudoLabels& of_u, const PseudoLabels& of_v, Rng& rng) const;
  Var agreement(Step& step, const Var& logits, const Tensor& labels, const Tensor& weight) const;

  int64_t labeled_batch_ = 0;
  double confidence_ = 0.95, channel_dropout_ = 0.5;
  bool eight_bits_ = true;
};

}  // namespace patchcl
