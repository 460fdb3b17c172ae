// Uncertainty-aware Mean Teacher (Yu et al., MICCAI 2019) as in SSL4MIS (METHODS 4.4): agreement only where
// the teacher is sure.
//
// T passes of the teacher with dropout and noise give a mean prediction q; its entropy U = -sum_k q_k log q_k
// masks pixels,
//   U < (0.75 + 0.25 w(t)) ln 2,       L_cons = sum mask (softmax_s - softmax_t)^2 / (2 sum mask + 1e-16).
// ln 2 for any number of classes, and a sum over K channels against a mask of one: both as published.
#pragma once
#include "train/methods/mean_teacher.h"

namespace patchcl {

class UaMt final : public NoisyTeacher {
 public:
  UaMt();
  void start(const TrainState& s) override;
  void prepare(const TrainState& s) override;

 protected:
  Var consistency(Step& step, const Var& logits, const Tensor& target) override;

 private:
  // Mean of the teacher's noisy predictions.
  Tensor mean_prediction(Step& step) const;
  int64_t dropout_passes_ = 8;  // T
  Tensor threshold_;            // of U, f64 (1) on the device
};

}  // namespace patchcl
