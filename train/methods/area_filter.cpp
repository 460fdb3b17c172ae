#include "train/methods/area_filter.h"

#include <algorithm>

#include "tensor/state.h"

namespace patchcl {

AreaFilter::AreaFilter(AreaFilterMode mode, int64_t classes, double target, double threshold)
    : mode_(mode), target_(target), theta_(size_t(classes), threshold), updates_(size_t(classes), 0) {}

std::vector<bool> AreaFilter::keep(int64_t k, const std::vector<float>& areas) {
  std::vector<bool> stays(areas.size(), true);
  if (mode_ == AreaFilterMode::off || areas.empty()) return stays;
  double& theta = theta_[size_t(k)];
  const bool corrected = mode_ == AreaFilterMode::corrected;
  int64_t kept = 0;
  for (size_t j = 0; j < areas.size(); ++j) {
    stays[j] = (areas[j] > theta) == corrected;
    kept += stays[j];
  }
  const double n = double(areas.size()), t = double(++updates_[size_t(k)]);
  const double move =
      corrected
          ? std::max(1 / t, 0.01) * (double(kept) / n - target_)        // EQ: 1.5 threshold, corrected
          : 0.01 / std::max(t - 1, 1.) * (target_ * n - double(kept));  // EQ: 1.5 threshold, as released
  theta = std::clamp(theta + move, 0., 1.);
  return stays;
}

void AreaFilter::save(TensorFile& file) const {
  put(file, "area_filter.threshold", theta_);
  put(file, "area_filter.updates", updates_);
}

void AreaFilter::load(const TensorFile& file) {
  theta_ = get<double>(file, "area_filter.threshold", int64_t(theta_.size()));
  updates_ = get<int64_t>(file, "area_filter.updates", int64_t(updates_.size()));
}

}  // namespace patchcl
