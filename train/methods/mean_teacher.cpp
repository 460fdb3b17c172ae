#include "train/methods/mean_teacher.h"

#include "autograd/ops/noise.h"

namespace patchcl {

Var MeanTeacher::noisy(Step& step, const Var& images, uint32_t site) const {
  return noise(images, step.tape.constant(step.s.rng, "rng"), /*sigma=*/0.1, /*limit=*/0.2, site);
}

Tensor MeanTeacher::target(Step& step) {
  if (options_.copy_paste)
    return predict(
        step.tape, step.s, *step.s.teacher, step.unlabeled_images(), /*training=*/false, site::teacher);
  return predict(step.tape, step.s, *step.s.teacher, noisy(step, step.unlabeled_images(), site::input_noise),
      /*training=*/true, site::teacher);
}

}  // namespace patchcl
