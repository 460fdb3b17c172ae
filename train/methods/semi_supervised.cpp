#include "train/methods/semi_supervised.h"

#include <algorithm>
#include <cstring>

#include "autograd/ops/arith.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/mean.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/softmax.h"
#include "losses/consistency.h"
#include "losses/cross_entropy.h"
#include "tensor/device.h"
#include "train/methods/copy_paste.h"
#include "train/optim/schedule.h"

namespace patchcl {

namespace {

Tensor ones(const Shape& shape) {
  const Tensor t = Arena("weight").empty(shape, DType::f32);
  fill(t, 1);
  return t;
}

// Row i of the result is row i + 1 of t, the last one the first.
Tensor rolled(const Tensor& t) {
  const int64_t n = t.shape()[0];
  const Tensor out = Arena("copy-paste").empty(t.shape(), t.dtype());
  copy(t.rows(0, 1), out.rows(n - 1, 1));
  if (n > 1) copy(t.rows(1, n - 1), out.rows(0, n - 1));
  return out;
}

Labeled rolled(const Labeled& l) { return {rolled(l.images), rolled(l.labels), rolled(l.weight)}; }

Tensor stacked(const Tensor& a, const Tensor& b) {
  Shape s = a.shape();
  s[0] *= 2;
  const Tensor out = Arena("copy-paste").empty(s, a.dtype());
  copy(a, out.rows(0, a.shape()[0]));
  copy(b, out.rows(a.shape()[0], a.shape()[0]));
  return out;
}

Labeled first(const Labeled& l, int64_t n) {
  return {l.images.rows(0, n), l.labels.rows(0, n), l.weight.rows(0, n)};
}

}  // namespace

void SemiSupervised::start(const TrainState& s) {
  const Arena memory("method", s.student->values().device());
  ema_ = std::make_unique<Ema>(memory);
  consistency_weight_ = memory.zeros({1}, s.student->dtype());
}

void SemiSupervised::prepare(const TrainState& s) {
  const double weight = *options_.consistency_weight * ramp(s);
  const float single = float(weight);
  const bool f64 = consistency_weight_.dtype() == DType::f64;
  copy_bytes(consistency_weight_.raw(), consistency_weight_.device(),
      f64 ? static_cast<const void*>(&weight) : &single, Device::cpu, consistency_weight_.bytes());
}

void SemiSupervised::after_step(const TrainState& s) {
  if (!has_teacher()) return;
  ema_->set(ema_alpha(s.iteration, options_.ema));
  ema_->update(s.teacher->values(), s.student->values());
  ema_->update(s.teacher->buffers(), s.student->buffers());
}

double SemiSupervised::ramp(const TrainState& s) const {
  const double n = double(s.iterations);
  return gaussian_ramp(double(s.iteration) - *options_.warm_up * n, *options_.ramp_up * n);
}

Var SemiSupervised::loss(Tape& tape, const TrainState& s, const Batch& b, LossTerms& log) {
  // A dry run plans memory for the stage that needs more.
  const bool early = !tape.dry() && warming_up(s);
  Step step{tape, s, b, log, early};
  const Tensor wanted = early ? Tensor() : target(step);
  Var total = options_.copy_paste ? mixed_loss(step, wanted)
              : early             ? labeled_loss(step)
                                  : consistent_loss(step, wanted);
  const Var c = early && !options_.warm_up_contrast ? Var() : contrast(step, wanted);
  if (c) {
    log.terms.push_back({"contrast", c});
    total = add(total, affine(c, options_.contrast_weight));  // EQ: 1.12 total loss
  }
  return total;
}

Var SemiSupervised::student_logits(Step& step, const Var& images) {
  Pass pass(step.tape, *step.s.student, /*training=*/true, step.s.rng, site::student);
  return step.s.model->forward(pass, images).logits;
}

Var SemiSupervised::labeled_loss(Step& step) {
  const int64_t n = step.b.labeled;
  const Var logits = student_logits(step, rows(step.tape, step.b.images, 0, n, "labelled images"));
  return supervised_loss(logits, rows(step.tape, step.b.labels, 0, n, "labels"), {}, step.log);
}

Var SemiSupervised::consistent_loss(Step& step, const Tensor& target) {
  const int64_t n = step.b.labeled, m = step.unlabeled();
  const Var labeled = rows(step.tape, step.b.images, 0, n, "labelled images");
  const Var unlabeled = rows(step.tape, student_view(step.b), n, m, "unlabelled images, student's view");
  const Var logits = student_logits(step, concat({labeled, unlabeled}, 0));
  const Var supervised =
      supervised_loss(slice(logits, 0, 0, n), rows(step.tape, step.b.labels, 0, n, "labels"), {}, step.log);
  const Var agreement = consistency(step, slice(logits, 0, n, m), target);
  const Var weight = step.tape.constant(consistency_weight_, "consistency weight");
  step.log.terms.push_back({"consistency", agreement});
  step.log.readings.push_back({"consistency_weight", weight});
  return add(supervised, scale(agreement, weight));  // EQ: 1.12 total loss
}

Var SemiSupervised::consistency(Step& step, const Var& logits, const Tensor& target) {
  if (options_.consistency == Consistency::mean_squared_error)
    return mean_squared_error(softmax(logits), step.tape.constant(target, "target"));  // EQ: 4.4 consistency
  const PseudoLabels pseudo =
      decide(step, target, decides_on_gpu(step) ? step.tape.arena() : Arena("pseudo-labels"));
  return cross_entropy(logits, upload(step.tape, pseudo.labels, step.dtype(), "pseudo-labels"),
      upload(step.tape, pseudo.weight, step.dtype(), "confident pixels"));
}

PseudoLabels SemiSupervised::decide(const Step& step, const Tensor& target, const Arena& memory) const {
  const Shape s = target.shape();
  const PseudoLabels y{
      memory.empty({s[0], s[1], s[2]}, DType::u8), memory.empty({s[0], s[1], s[2]}, DType::f32)};
  if (step.tape.dry()) return y;
  find_pseudo_labels(memory.device() == Device::cuda ? target : on_host(target), options_.confidence,
      options_.largest_component, y);
  step.log.readings.push_back(
      {"pseudo_coverage", mean(upload(step.tape, y.weight, step.dtype(), "confident pixels"))});
  return y;
}

// In the warm-up the images are labelled ones, mixed among themselves.
Var SemiSupervised::mixed_loss(Step& step, const Tensor& target) {
  const Batch& b = step.b;
  const Shape& s = b.images.shape();
  const int64_t n = step.warming_up ? b.labeled : std::min(b.labeled, step.unlabeled());
  Labeled mixed;
  if (step.tape.dry()) {
    const Arena host("copy-paste");
    mixed = {host.empty({2 * n, s[1], s[2], s[3]}, DType::f32), host.empty({2 * n, s[1], s[2]}, DType::u8),
        ones({2 * n, s[1], s[2]})};
  } else {
    Rng rng(step.s.seed, uint64_t(step.s.iteration), site::paste);
    const Box box = random_box(s[1], s[2], rng);
    const Labeled labeled{on_host(b.images.rows(0, b.labeled)), on_host(b.labels.rows(0, b.labeled)),
        ones({b.labeled, s[1], s[2]})};
    if (step.warming_up) {
      mixed = paste(labeled, rolled(labeled), box);
    } else {
      const PseudoLabels pseudo = decide(step, target, Arena("pseudo-labels"));
      float* w = pseudo.weight.data<float>();
      for (int64_t i = 0; i < pseudo.weight.numel(); ++i) w[i] *= float(options_.pseudo_weight);
      const Labeled unlabeled{
          on_host(b.images.rows(b.labeled, step.unlabeled())), pseudo.labels, pseudo.weight};
      const Labeled in = paste(first(unlabeled, n), first(labeled, n), box),
                    out = paste(first(labeled, n), first(unlabeled, n), box);
      mixed = {
          stacked(in.images, out.images), stacked(in.labels, out.labels), stacked(in.weight, out.weight)};
    }
  }
  const DType dtype = step.dtype();
  const Var logits = student_logits(step, upload(step.tape, mixed.images, dtype, "mixed images"));
  return supervised_loss(logits, upload(step.tape, mixed.labels, dtype, "mixed labels"),
      upload(step.tape, mixed.weight, dtype, "weights"), step.log);
}

}  // namespace patchcl
