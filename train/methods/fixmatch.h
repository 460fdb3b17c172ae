// FixMatch (Sohn et al., NeurIPS 2020) for pixels: the student's own confident decisions on the weak view are
// labels for the strong view. L_cons = mean over pixels of [max p >= confidence] cross-entropy. No teacher.
#pragma once
#include "train/methods/semi_supervised.h"

namespace patchcl {

class FixMatch final : public SemiSupervised {
 public:
  bool recordable() const override { return !options_.copy_paste && !options_.largest_component; }
  using SemiSupervised::SemiSupervised;
  std::string name() const override { return "fixmatch"; }
  bool has_teacher() const override { return false; }
  bool wants_strong() const override { return true; }

 protected:
  Tensor target(Step& step) override;
  const Tensor& student_view(const Batch& b) const override { return b.strong; }
};

}  // namespace patchcl
