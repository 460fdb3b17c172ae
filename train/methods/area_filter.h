// Area filter with a stochastic-approximation threshold (METHODS 1.5): patches that show too little of their
// class are dropped; the threshold theta_c tracks the quantile at which a wanted share q of the patches
// stays.
//
// Corrected: keep a > theta,  theta <- clip( theta + g_t (kept/n - q) ),  g_t = max(1/t, 0.01) for update t
//   (Robbins-Monro on P(a > theta) = q; the floor lets theta follow the pseudo-labels as they improve).
// As released: keep a <= theta (the smallest areas stay), theta <- clip( theta + a_t (q n - kept) ),
//   a_t = 0.01/max(t - 1, 1): the released counter starts at 0, where it takes 0.01 too.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "tensor/io.h"

namespace patchcl {

enum class AreaFilterMode { off, corrected, released };

class AreaFilter {
 public:
  AreaFilter(AreaFilterMode mode, int64_t classes, double target = 0.8, double threshold = 0.5);
  // One flag for each patch of class k: it stays. Moves the class's threshold; no patches, no move.
  std::vector<bool> keep(int64_t k, const std::vector<float>& areas);
  double threshold(int64_t k) const { return theta_[size_t(k)]; }

  void save(TensorFile& file) const;
  void load(const TensorFile& file);

 private:
  AreaFilterMode mode_;
  double target_;
  std::vector<double> theta_;
  std::vector<int64_t> updates_;
};

}  // namespace patchcl
