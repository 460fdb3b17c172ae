// PatchCL with windows of the decoder's map in place of patches: METHODS 1.13, V1. With InfoNCE, whose
// positives are the teacher's class means, it is METHODS 8.2's loss, of windows in place of pixels.
#include <algorithm>

#include "autograd/ops/cast.h"
#include "autograd/ops/region_pool.h"
#include "autograd/ops/shape.h"
#include "train/methods/patchcl.h"

namespace patchcl {

// Windows of what the student saw and of what the teacher saw. Both maps are of this step's passes, but the
// teacher has to look at the labelled images once more.
Var PatchCl::region_contrast(Step& step, const Passes& passes) {
  Tensor seen = passes.target.probabilities;
  if (passes.mixed.labels) {
    const Shape& s = passes.mixed.labels.shape();
    seen = Arena("contrast").empty({s[0], s[1], s[2], classes_}, DType::f32);
    step.work([&] { seen = confidence_of(passes.mixed.labels, passes.mixed.weight, classes_); });
  }
  const Regions shown = draw_regions(step, seen, passes.mixed.images, site::patches),
                looked = draw_regions(step, passes.target.probabilities, {}, site::teacher_windows);
  if (shown.classes.size() < 2 || looked.classes.size() < 2) return {};
  const Tensor keys = enqueue_regions(step, passes.target.map, looked);
  if (!enough_classes(step)) return {};
  Pass pass(step.tape, *step.s.student, /*training=*/true, step.s.rng, site::patch_pass);
  pass.set_norm(NormMode::batch_only);
  const Var rows = region_pool(widened(passes.student_map), step.upload(shown.windows, "windows"),
      step.upload(shown.weights, "weights of their pixels"));
  return against_classes(step, head_->embed(pass, rows), shown.classes, keys, looked.classes);
}

Tensor PatchCl::class_directions(const Step& step, const Tensor& keys,
    const std::vector<int32_t>& classes_of_keys, const std::vector<int32_t>& classes) const {
  const Tensor directions = Arena("contrast").zeros({int64_t(classes.size()), o_.dimension}, DType::f32);
  step.work([&] {
    float* row = directions.data<float>();
    for (const int32_t k : classes) {
      const Eigen::VectorXd mean = mean_of_class(keys, classes_of_keys, k);
      const double length = mean.norm();
      for (const double m : mean) *row++ = float(m / std::max(length, 1e-12));
    }
  });
  return directions;
}

Regions PatchCl::draw_regions(const Step& step, const Tensor& target, const Tensor& mixed, uint32_t site) {
  const Place host = step.place(/*host_only=*/true);
  const SeenImages seen(step, o_.patches.labeled_only ? Tensor() : target, classes_, host, mixed);
  std::vector<Patch> drawn(static_cast<size_t>(budget()));
  step.work([&] { drawn = sample(step, seen.batch, site, *filter_).positive; });
  return regions_of(step, seen.batch, drawn, o_.patches.side);
}

Tensor PatchCl::enqueue_regions(Step& step, const Tensor& unlabeled_map, const Regions& looked) {
  const Tensor embedded = step.without_gradient([&](const Step& teacher) {
    const Var images = teacher.labeled(step.b.images(), "labelled images");
    const Tensor seen = step.predict(*step.s.teacher, images, looking_mode(), site::second_teacher).map;
    Var map = widened(teacher.tape.constant(seen, "teacher's map"));
    if (unlabeled_map && !o_.patches.labeled_only)
      map = concat({map, widened(teacher.tape.constant(unlabeled_map, "teacher's map"))}, 0);
    Pass pass(teacher.tape, *step.s.teacher, /*training=*/false, step.s.rng, site::patch_pass);
    pass.set_norm(NormMode::batch_only);
    const Var rows = region_pool(
        map, teacher.upload(looked.windows, "windows"), teacher.upload(looked.weights, "weights"));
    return head_->embed(pass, rows).value();
  });
  return push(step, embedded, looked.classes);
}

}  // namespace patchcl
