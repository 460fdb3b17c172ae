#include "train/methods/fixmatch.h"

namespace patchcl {

namespace {
AddMethod fixmatch{{30, "fixmatch",
    "the student's confident decisions teach its strong view (Sohn et al. 2020)", make<FixMatch>}};
}

FixMatch::FixMatch() {
  consistency_ = Consistency::cross_entropy;
  consistency_weight_ = 1;
  strong_ = Strong::jittered;
  read_schedule();
  read_pseudo_labels();
  read_copy_paste();
  read_pdcr();
}

Prediction FixMatch::target(Step& step) {
  const Var images = step.unlabeled(step.b.images(), "unlabelled images");
  return step.predict(*step.s.student, images, kEvaluation, site::teacher);
}

}  // namespace patchcl
