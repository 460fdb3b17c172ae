#include "train/methods/fixmatch.h"

namespace patchcl {

Tensor FixMatch::target(Step& step) {
  return predict(
      step.tape, step.s, *step.s.student, step.unlabeled_images(), /*training=*/false, site::teacher);
}

}  // namespace patchcl
