#include "train/methods/mean_teacher.h"

#include "autograd/ops/noise.h"

namespace patchcl {

namespace {
AddMethod mean_teacher{{10, "mean-teacher",
    "agreement with an average of the student's past (Tarvainen and Valpola 2017)", make<MeanTeacher>}};
}

NoisyTeacher::NoisyTeacher() {
  read_schedule();
  read_teacher();
  read_pdcr();
}

MeanTeacher::MeanTeacher() {
  read_consistency();
  read_pseudo_labels();
  read_copy_paste();
}

Var NoisyTeacher::noisy(Step& step, const Var& images, uint32_t site) const {
  return noise(images, step.rng(), /*sigma=*/0.1, /*limit=*/0.2, site);
}

Prediction NoisyTeacher::target(Step& step) {
  const Var images = noisy(step, step.unlabeled(step.b.images(), "unlabelled images"), site::input_noise);
  return step.predict(*step.s.teacher, images, teacher_mode(), site::teacher);
}

Prediction MeanTeacher::target(Step& step) {
  return copy_paste_ ? SemiSupervised::target(step) : NoisyTeacher::target(step);
}

PredictMode MeanTeacher::usual_mode() const {
  return copy_paste_ ? SemiSupervised::usual_mode() : NoisyTeacher::usual_mode();
}

}  // namespace patchcl
