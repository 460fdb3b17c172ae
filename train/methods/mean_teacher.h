// Mean Teacher (Tarvainen and Valpola, NeurIPS 2017) as in SSL4MIS (METHODS 4.4): the student agrees with an
// average of its past on noisy unlabelled images. L_cons = mean (softmax_s - softmax_t)^2; the teacher stays
// in training mode. Copy-paste asks it for pseudo-labels instead: then it sees clean images, with their own
// statistics and without dropout.
#pragma once
#include "train/methods/semi_supervised.h"

namespace patchcl {

// What mean teachers have in common: an average in training mode that sees noisy images.
class NoisyTeacher : public SemiSupervised {
 public:
  NoisyTeacher();

 protected:
  Prediction target(Step& step) override;
  PredictMode usual_mode() const override { return kTraining; }
  // The teacher's view of unlabelled images.
  Var noisy(Step& step, const Var& images, uint32_t site) const;
};

class MeanTeacher final : public NoisyTeacher {
 public:
  MeanTeacher();

 protected:
  Prediction target(Step& step) override;
  PredictMode usual_mode() const override;
};

}  // namespace patchcl
