#include "train/methods/semi_supervised.h"

#include <algorithm>
#include <cmath>

#include "autograd/ops/arith.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/mean.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/softmax.h"
#include "losses/consistency.h"
#include "losses/cross_entropy.h"
#include "tensor/device.h"

namespace patchcl {

namespace {
const Names<Consistency> kConsistency{
    {"mse", Consistency::mean_squared_error}, {"ce", Consistency::cross_entropy}};
}

void SemiSupervised::read_schedule() {
  options().group("Semi-supervised learning");
  options().add("labeled-batch", labeled_batch_, "Labelled images in a step; 0: half of them", kNotNegative);
  options().add("warm-up", warm_up_,
      "Share of the iterations on labelled images alone; -1: none, with --copy-paste a third", Range{-1, 1});
  options().add(
      "ramp-up", ramp_up_, "Share of the iterations over which the consistency weight grows", kShare);
  options().add("consistency-weight", consistency_weight_, "Weight of the consistency loss after its ramp-up",
      kNotNegative);
}

void SemiSupervised::read_ema() { options().add("ema", ema_, "Decay of the teacher's average", kShare); }

void SemiSupervised::read_consistency() {
  options().choose("consistency", consistency_, kConsistency,
      "Squared error of softmax, or cross-entropy against confident pseudo-labels");
}

void SemiSupervised::read_pseudo_labels() {
  options().add("confidence", confidence_,
      "Pseudo-labels count where the largest probability is at least this", kShare);
  options().add(
      "largest-component", largest_component_, "Pseudo-labels keep the largest component of each class");
}

void SemiSupervised::read_copy_paste() {
  options().add("copy-paste", copy_paste_, "Mix labelled and unlabelled images in both directions");
  options().add("pseudo-weight", pseudo_weight_, "Weight of pseudo-labelled pixels in mixed images", kShare);
}

void SemiSupervised::resolve(const RunShape& run) {
  if (labeled_batch_ == 0) labeled_batch_ = run.batch / 2;
  if (labeled_batch_ < 1 || labeled_batch_ >= run.batch)
    fail(ExitCode::usage, "options", "a batch of ", run.batch, " with ", labeled_batch_, " labelled images; ",
        name(), " wants both kinds: raise --batch or mend --labeled-batch");
  // Copy-paste needs pseudo-labels worth pasting.
  if (warm_up_ < 0) warm_up_ = copy_paste_ ? 1. / 3 : 0;
  if (!options().contains("copy-paste")) return;
  if (!copy_paste_) options().forbid({"pseudo-weight"}, "without --copy-paste");
  if (copy_paste_ && options().contains("consistency"))
    options().forbid({"consistency"}, "with --copy-paste, which has no consistency loss");
  if (!copy_paste_ && consistency_ == Consistency::mean_squared_error)
    options().forbid({"confidence", "largest-component"}, "without --copy-paste or --consistency ce");
}

std::vector<Phase> SemiSupervised::phases(const RunShape& run) const {
  const int64_t warm_up = std::min(run.iterations, int64_t(std::ceil(warm_up_ * double(run.iterations))));
  Phase main = whole_run(run, labeled_batch_, views()), early = whole_run(run, labeled_batch_);
  early.name = "warm-up";
  early.unlabeled = 0;
  early.iterations = warm_up;
  main.iterations -= warm_up;
  std::vector<Phase> all{early, main};
  std::erase_if(all, [](const Phase& p) { return p.iterations == 0; });
  return all;
}

void SemiSupervised::start(const TrainState& s) {
  const Arena memory("method", s.student->values().device());
  average_ = std::make_unique<Ema>(memory);
  weight_ = memory.zeros({1}, s.student->dtype());
}

void SemiSupervised::prepare(const TrainState& s) {
  const double weight = consistency_weight_ * ramp(s);
  const float single = float(weight);
  const void* const from = weight_.dtype() == DType::f64 ? static_cast<const void*>(&weight) : &single;
  copy_bytes(weight_.raw(), weight_.device(), from, Device::cpu, weight_.bytes());
}

void SemiSupervised::after_step(const TrainState& s) {
  if (!has_teacher()) return;
  average_->set(ema_alpha(s.iteration, ema_));
  average_->update(s.teacher->values(), s.student->values());
  average_->update(s.teacher->buffers(), s.student->buffers());
}

double SemiSupervised::ramp(const TrainState& s) const {
  const double n = double(s.iterations);
  return gaussian_ramp(double(s.iteration) - warm_up_ * n, ramp_up_ * n);
}

Var SemiSupervised::loss(Tape& tape, const TrainState& s, const Batch& b, LossTerms& log) {
  Step step{tape, s, b, log};
  const bool early = warming_up(s);
  const Tensor wanted = early ? Tensor() : target(step);
  Var total;
  if (copy_paste_) total = mixed_loss(step, wanted);
  else total = early ? labeled_loss(step) : consistent_loss(step, wanted);
  const Var c = contrast(step, wanted);
  if (!c) return total;
  log.terms.push_back({"contrast", c});
  return add(total, affine(c, contrast_weight()));  // EQ: 1.12 total loss
}

Var SemiSupervised::labeled_loss(Step& step) {
  const Var logits = step.student(step.labeled(step.b.images(), "labelled images"));
  return step.supervised_loss(logits, step.labeled(step.b.labels(), "labels"));
}

Var SemiSupervised::consistent_loss(Step& step, const Tensor& target) {
  const int64_t n = step.b.labeled, m = step.b.unlabeled();
  const Var labeled = step.labeled(step.b.images(), "labelled images");
  const Var unlabeled = step.unlabeled(step.b.views.back().images, "unlabelled images, student's view");
  const Var logits = step.student(concat({labeled, unlabeled}, 0));
  const Var supervised =
      step.supervised_loss(slice(logits, 0, 0, n), step.labeled(step.b.labels(), "labels"));
  const Var agreement = consistency(step, slice(logits, 0, n, m), target);
  const Var weight = step.tape.constant(weight_, "consistency weight");
  step.log.terms.push_back({"consistency", agreement});
  step.log.readings.push_back({"consistency_weight", weight});
  return add(supervised, scale(agreement, weight));  // EQ: 1.12 total loss
}

Var SemiSupervised::consistency(Step& step, const Var& logits, const Tensor& target) {
  if (consistency_ == Consistency::mean_squared_error)
    return mean_squared_error(softmax(logits), step.tape.constant(target, "target"));  // EQ: 4.4 consistency
  const PseudoLabels pseudo = decide(step, target, step.place(/*host_only=*/largest_component_));
  return cross_entropy(
      logits, step.upload(pseudo.labels, "pseudo-labels"), step.upload(pseudo.weight, "confident pixels"));
}

PseudoLabels SemiSupervised::decide(const Step& step, const Tensor& target, const Place& place) const {
  const Shape s = target.shape();
  const PseudoLabels y{
      place.memory.empty({s[0], s[1], s[2]}, DType::u8), place.memory.empty({s[0], s[1], s[2]}, DType::f32)};
  step.work([&] {
    find_pseudo_labels(place.here(target), confidence_, largest_component_, y);
    step.log.readings.push_back({"pseudo_coverage", mean(step.upload(y.weight, "confident pixels"))});
  });
  return y;
}

Var SemiSupervised::mixed_loss(Step& step, const Tensor& target) {
  const LabeledImages mixed = mix(step, target);
  const Var logits = step.student(step.upload(mixed.images, "mixed images"));
  return step.supervised_loss(
      logits, step.upload(mixed.labels, "mixed labels"), step.upload(mixed.weight, "weights"));
}

// In the warm-up the images are labelled ones, mixed among themselves.
LabeledImages SemiSupervised::mix(Step& step, const Tensor& target) const {
  const Shape s = step.b.images().shape();
  const int64_t labeled = step.b.labeled, unlabeled = step.b.unlabeled();
  const LabeledImages mixed =
      labeled_images(target ? 2 * std::min(labeled, unlabeled) : labeled, s[1], s[2], s[3]);
  step.work([&] {
    const Batch& host = step.b.on_host();
    Rng rng = step.host_rng(site::paste);
    const Box box = random_box(s[1], s[2], rng);
    const LabeledImages known =
        fully_trusted(on_host(host.images().rows(0, labeled)), host.labels().rows(0, labeled));
    if (!target) return mix_among(known, box, mixed);
    const PseudoLabels pseudo = decide(step, target, step.place(/*host_only=*/true));
    float* w = pseudo.weight.data<float>();
    for (int64_t i = 0; i < pseudo.weight.numel(); ++i) w[i] *= float(pseudo_weight_);
    const Tensor images = on_host(host.images().rows(labeled, unlabeled));
    exchange(known, {images, pseudo.labels, pseudo.weight}, box, mixed);
  });
  return mixed;
}

}  // namespace patchcl
