// Uncertainty-aware Mean Teacher (Yu et al., MICCAI 2019) as in SSL4MIS (METHODS 4.4): agreement only where the teacher
// is sure.
//
// T passes of the teacher with dropout and noise give a mean prediction q; its entropy U = -sum_k q_k log q_k masks pixels,
//   U < (0.75 + 0.25 w(t)) ln 2,       L_cons = sum mask (softmax_s - softmax_t)^2 / (2 sum mask + 1e-16).
// ln 2 for any number of classes, and a sum over K channels against a mask of one: both as published.
#pragma once
#include "train/methods/mean_teacher.h"

namespace patchcl {

class UaMt final : public MeanTeacher {
 public:
  bool recordable() const override { return false; }  // weighs pixels on the host
  using MeanTeacher::MeanTeacher;
  std::string name() const override { return "ua-mt"; }

 protected:
  Var consistency(Step& step, const Var& logits, const Tensor& target) override;

 private:
  // Mean of the teacher's noisy predictions, on the host.
  Tensor mean_prediction(Step& step) const;
};

// Weight of each pixel (n,H,W), such that the mean over pixels and channels of weight * error is L_cons above.
Tensor certainty_weight(const Tensor& mean_prediction, double threshold);

}  // namespace patchcl
