#include "train/methods/matched_weight.h"

#include "tensor/state.h"

namespace patchcl {

namespace {
constexpr double kKept = 0.8;
}

void MatchedWeight::see(const SharedGradients& norms) {
  if (norms.contrast == 0) return;
  const double kept = mean_.contrast > 0 ? kKept : 0;
  mean_.supervised = kept * mean_.supervised + (1 - kept) * norms.supervised;
  mean_.contrast = kept * mean_.contrast + (1 - kept) * norms.contrast;
}

double MatchedWeight::weight() const {
  if (mean_.contrast == 0) return before_;
  return share_ * mean_.supervised / mean_.contrast;  // EQ: 1.13 V4 weight
}

void MatchedWeight::save(TensorFile& file) const {
  put(file, "contrast.gradient_norms", std::vector<double>{mean_.supervised, mean_.contrast});
}

void MatchedWeight::load(const TensorFile& file) {
  const std::vector<double> norms = get<double>(file, "contrast.gradient_norms", 2);
  mean_ = {norms[0], norms[1]};
}

}  // namespace patchcl
