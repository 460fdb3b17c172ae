// The weight of a contrastive loss from what it does (METHODS 1.13 V4): its gradient is to have a share rho
// of the supervised one's on the layers that both reach.
//
//   beta = rho m(|grad L_sup|) / m(|grad L_con|)
//   m <- 0.8 m + 0.2 x at each measurement, the first as it is
// Norms are averaged before they are divided: one step with a small gradient of the contrast would make a
// giant of a quotient. A measurement takes a few passes in f64, so there is one in 200 steps.
// Left out: the projection of gradients that fight the supervised one.
#pragma once
#include "train/methods/method.h"

namespace patchcl {

class MatchedWeight {
 public:
  static constexpr int64_t kEvery = 200;  // steps
  // `before`: the weight until there is a measurement.
  MatchedWeight(double share, double before) : share_(share), before_(before) {}

  bool due(int64_t iteration) const { return iteration > 0 && iteration % kEvery == 0; }
  // A step without contrast says nothing.
  void see(const SharedGradients& norms);
  double weight() const;

  void save(TensorFile& file) const;
  void load(const TensorFile& file);

 private:
  double share_, before_;
  SharedGradients mean_;
};

}  // namespace patchcl
