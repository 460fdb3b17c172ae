// FixMatch (Sohn et al., NeurIPS 2020) for pixels: the student's own confident decisions on the weak view are
// labels for the strong view. L_cons = mean over pixels of [max p >= confidence] cross-entropy. No teacher.
#pragma once
#include "train/methods/semi_supervised.h"

namespace patchcl {

class FixMatch final : public SemiSupervised {
 public:
  FixMatch();
  bool has_teacher() const override { return false; }

 protected:
  Prediction target(Step& step) override;
};

}  // namespace patchcl
