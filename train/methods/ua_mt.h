// Uncertainty-aware Mean Teacher (Yu et al., MICCAI 2019) as in SSL4MIS (METHODS 4.4): agreement only where the teacher
// is sure.
//
// T passes of the teacher with dropout and noise give a mean prediction q; its entropy U = -sum_k q_k log q_k masks pixels,
//   U < (0.75 + 0.25 w(t)) ln 2,       L_cons = sum mask (softmax_s - softmax_t)^2 / (2 sum mask + 1e-16).
// ln 2 for any number of classes, and a sum over K channels against a mask of one: both as published.
#pragma once
#include <math.h>  // log(float) in the global namespace

#include "train/methods/mean_teacher.h"

namespace patchcl {

class UaMt final : public MeanTeacher {
 public:
  bool recordable() const override { return true; }
  using MeanTeacher::MeanTeacher;
  std::string name() const override { return "ua-mt"; }
  void start(const TrainState& s) override;
  void prepare(const TrainState& s) override;

 protected:
  Var consistency(Step& step, const Var& logits, const Tensor& target) override;

 private:
  // Mean of the teacher's noisy predictions.
  Tensor mean_prediction(Step& step) const;
  Tensor threshold_;  // of U, f64 (1) on the device
};

// Weight of each pixel, f32 (n,H,W), such that the mean over pixels and channels of weight * error is L_cons above. All on one
// device; q is f32 (n,H,W,K), `memory` has room for the GPU's sums.
void find_certain_pixels(const Tensor& q, const Tensor& threshold, const Tensor& weight, const Arena& memory);
CUDA_ONLY(void find_certain_pixels_cuda(const Tensor& q, const Tensor& threshold, const Tensor& weight, const Arena& memory);)

// One pixel with probabilities q of K classes.
HD inline bool is_certain(const float* q, int64_t K, double threshold) {
  float U = 0;
  for (int64_t k = 0; k < K; ++k)
    if (q[k] > 0) U -= q[k] * ::log(q[k]);  // EQ: 4.4 uncertainty
  return double(U) < threshold;
}
// What a certain pixel weighs where `certain` of P pixels are.
HD inline float certain_weight(int64_t P, int64_t K, double certain) { return float(double(P * K) / (2 * certain + 1e-16)); }  // EQ: 4.4 UA-MT normalisation

}  // namespace patchcl
