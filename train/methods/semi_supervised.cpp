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
#include "losses/dice.h"
#include "tensor/device.h"

namespace patchcl {

namespace {
const Names<Consistency> kConsistency{{"mse", Consistency::mean_squared_error},
    {"ce", Consistency::cross_entropy}, {"dice", Consistency::dice}};
const Names<Strong> kStrong = in_order<Strong>({"false", "true", "blurred"});
const Names<Mix> kMix = in_order<Mix>({"none", "cutmix", "square", "both"});
}  // namespace

void SemiSupervised::read_schedule() {
  options().group("Semi-supervised learning");
  read_labeled_batch(labeled_batch_);
  options().add("warm-up", warm_up_,
      "Share of the iterations on labelled images alone; -1: none, with --copy-paste a third", Range{-1, 1});
  options().add("full-warm-up", full_warm_up_, "The warm-up's steps have --batch labelled images");
  options().add(
      "ramp-up", ramp_up_, "Share of the iterations over which the consistency weight grows", kShare);
  options().add("consistency-weight", consistency_weight_, "Weight of the consistency loss after its ramp-up",
      kNotNegative);
}

void SemiSupervised::read_teacher() {
  AveragedTeacher::read_teacher();
  options().add("teacher-from-warm-up", teacher_from_warm_up_,
      "The teacher's average begins at the warm-up's end, as the student is then");
}

void SemiSupervised::read_consistency() {
  options().choose("consistency", consistency_, kConsistency,
      "Squared error of softmax, or cross-entropy or Dice loss against confident pseudo-labels");
}

void SemiSupervised::read_views() {
  options().choose("strong", strong_, kStrong,
      "The student sees unlabelled images with other brightness and contrast; blurred: as AD-MT has it, "
      "milder, of 8 bits and sometimes blurred");
  options().choose("mix", mix_, kMix,
      "Boxes in the student's unlabelled images: of other unlabelled ones, the square of a labelled one, or "
      "either by turns");
}

void SemiSupervised::read_pseudo_labels() {
  read_confidence(confidence_);
  read_largest_component(largest_component_);
}

void SemiSupervised::read_copy_paste() {
  options().add("copy-paste", copy_paste_, "Mix labelled and unlabelled images in both directions");
  options().add("pseudo-weight", pseudo_weight_, "Weight of pseudo-labelled pixels in mixed images", kShare);
}

void SemiSupervised::resolve(const RunShape& run) {
  AveragedTeacher::resolve(run);
  labeled_batch_ = labeled_share(run, labeled_batch_, name());
  // Copy-paste needs pseudo-labels worth pasting.
  if (warm_up_ < 0) warm_up_ = copy_paste_ ? 1. / 3 : 0;
  pdcr_.resolve(options());
  if (warm_up_ == 0) options().forbid({"full-warm-up", "teacher-from-warm-up"}, "without a warm-up");
  if (mix_ != Mix::none && consistency_ == Consistency::mean_squared_error)
    fail(ExitCode::usage, "options",
        "--mix mixes pseudo-labels, which --consistency mse has none of; add "
        "--consistency dice or ce");
  if (copy_paste_ && run.batch != 2 * labeled_batch_)
    fail(ExitCode::usage, "options",
        "--copy-paste mixes labelled and unlabelled images in pairs; a batch of ", run.batch, " with ",
        labeled_batch_, " labelled ones leaves some over: make --batch twice --labeled-batch");
  if (copy_paste_)
    options().forbid(
        {"consistency", "consistency-weight", "mix", "strong", "pdcr", "pdcr-decoder", "pdcr-cross"},
        "with --copy-paste, which has no consistency loss and no whole patches");
  else options().forbid({"pseudo-weight"}, "without --copy-paste");
  if (copy_paste_ && !contrast_ramps())
    options().forbid({"ramp-up"}, "with --copy-paste, where no weight grows");
  if (copy_paste_ || consistency_ != Consistency::mean_squared_error) return;
  const std::string why = "with --consistency mse, which has no pseudo-labels";
  options().forbid({"confidence"}, why);
  if (!pdcr_.on() || !pdcr_.unlabeled()) options().forbid({"largest-component"}, why);
}

std::vector<Phase> SemiSupervised::phases(const RunShape& run) const {
  const int64_t warm_up = std::min(run.iterations, int64_t(std::ceil(warm_up_ * double(run.iterations))));
  Phase main = whole_run(run, labeled_batch_, views()), early = whole_run(run, labeled_batch_);
  early.name = "warm-up";
  early.unlabeled = 0;
  if (full_warm_up_) early.labeled = run.batch;
  early.iterations = warm_up;
  main.iterations -= warm_up;
  main.copy_to_teacher = teacher_from_warm_up_;
  std::vector<Phase> all{early, main};
  std::erase_if(all, [](const Phase& p) { return p.iterations == 0; });
  return all;
}

void SemiSupervised::start(const TrainState& s) {
  AveragedTeacher::start(s);
  weight_ = Arena("method", s.student->values().device()).zeros({1}, s.student->dtype());
}

void SemiSupervised::prepare(const TrainState& s) {
  const double weight = consistency_weight_ * ramp(s);
  const float single = float(weight);
  const void* const from = weight_.dtype() == DType::f64 ? static_cast<const void*>(&weight) : &single;
  copy_bytes(weight_.raw(), weight_.device(), from, Device::cpu, weight_.bytes());
}

double SemiSupervised::ramp(const TrainState& s) const {
  const double n = double(s.iterations);
  return gaussian_ramp(double(s.iteration) - warm_up_ * n, ramp_up_ * n);
}

std::vector<ViewKind> SemiSupervised::views() const {
  switch (strong_) {
    case Strong::off: return {{}};
    case Strong::jittered: return {{}, kStrongView};
    case Strong::blurred: return {{}, kBlurredView};
  }
  return {};
}

Prediction SemiSupervised::target(Step& step) {
  const Var images = step.unlabeled(step.b.images(), "unlabelled images");
  return step.predict(*step.s.teacher, images, teacher_mode(), site::teacher);
}

Var SemiSupervised::loss(Tape& tape, const TrainState& s, const Batch& b, LossTerms& log) {
  Step step{tape, s, b, log};
  const bool early = warming_up(s);
  Passes passes;
  if (!early) passes.target = target(step);
  Var total;
  if (copy_paste_) total = copy_paste_loss(step, passes.target.probabilities);
  else total = early ? labeled_loss(step, passes) : consistent_loss(step, passes);
  const Var c = contrast(step, passes);
  if (!c) return total;
  log.terms.push_back({term::contrast, c});
  return add(total, affine(c, contrast_weight(s)));  // EQ: 1.12 total loss
}

Var SemiSupervised::labeled_loss(Step& step, Passes& passes) {
  const UNet::Output out = step.student_pass(step.labeled(step.b.images(), "labelled images"));
  passes.student_map = out.decoder.back();
  const Var loss = step.supervised_loss(out.logits, step.labeled(step.b.labels(), "labels"));
  return pdcr_.add_to(loss, step, out, {step.b.on_host().labels().rows(0, step.b.labeled), {}});
}

// What PDCR may know of the images that the student sees: labels, and pseudo-labels where it takes them.
SeenLabels SemiSupervised::seen_labels(const Step& step, const Passes& passes) const {
  const Tensor known = step.b.on_host().labels().rows(0, step.b.labeled);
  if (!pdcr_.on() || !pdcr_.unlabeled()) return {known, {}};
  const Shape s = step.b.images().shape();
  const int64_t n = step.b.labeled, m = step.b.unlabeled();
  const Arena host("seen labels");
  const SeenLabels seen{
      host.empty({n + m, s[1], s[2]}, DType::u8), host.empty({n + m, s[1], s[2]}, DType::f32)};
  step.work([&] {
    copy(known, seen.labels.rows(0, n));
    fill(seen.confidence.rows(0, n), 1);
    const bool mixed = bool(passes.mixed.labels);
    const Tensor p = on_host(passes.target.probabilities);
    const Place place = step.place(/*host_only=*/true);
    copy(mixed ? passes.mixed.labels : pseudo_labels_of(step, p, 0, largest_component_, place).labels,
        seen.labels.rows(n, m));
    if (mixed) return copy(passes.mixed.weight, seen.confidence.rows(n, m));
    const int64_t K = p.shape()[3];
    float* sure = seen.confidence.rows(n, m).data<float>();
    for (int64_t i = 0; i < p.numel() / K; ++i)
      sure[i] = *std::max_element(p.data<float>() + i * K, p.data<float>() + (i + 1) * K);
  });
  return seen;
}

Var SemiSupervised::consistent_loss(Step& step, Passes& passes) {
  const int64_t n = step.b.labeled, m = step.b.unlabeled();
  const Tensor& target = passes.target.probabilities;
  const Var labeled = step.labeled(step.b.images(), "labelled images");
  Var unlabeled;
  if (mix_ == Mix::none)
    unlabeled = step.unlabeled(step.b.views.back().images, "unlabelled images, student's view");
  else {
    passes.mixed = mixed_views(step, target);
    unlabeled = step.upload(passes.mixed.images, "unlabelled images, mixed");
  }
  const UNet::Output out = step.student_pass(concat({labeled, unlabeled}, 0));
  passes.student_map = out.decoder.back();
  const Var supervised =
      step.supervised_loss(slice(out.logits, 0, 0, n), step.labeled(step.b.labels(), "labels"));
  const Var logits = slice(out.logits, 0, n, m);
  const Var agreed = mix_ == Mix::none
                         ? consistency(step, logits, target)
                         : agreement(logits, step.upload(passes.mixed.labels, "pseudo-labels, mixed"),
                               step.upload(passes.mixed.weight, "confident pixels, mixed"));
  const Var total = add(supervised, weighted(step, agreed));  // EQ: 1.12 total loss
  return pdcr_.add_to(total, step, out, seen_labels(step, passes));
}

Var SemiSupervised::weighted(Step& step, const Var& agreed) const {
  const Var weight = step.tape.constant(weight_, "consistency weight");
  step.log.terms.push_back({term::consistency, agreed});
  step.log.readings.push_back({reading::consistency_weight, weight});
  return scale(agreed, weight);
}

Var SemiSupervised::agreement(const Var& logits, const Var& labels, const Var& weight) const {
  if (consistency_ == Consistency::dice)
    return dice_loss(softmax(logits), labels, weight);  // EQ: 7.7 agreement
  return cross_entropy(logits, labels, weight);
}

Var SemiSupervised::consistency(Step& step, const Var& logits, const Tensor& target) {
  if (consistency_ == Consistency::mean_squared_error)
    return mean_squared_error(softmax(logits), step.tape.constant(target, "target"));  // EQ: 4.4 consistency
  const PseudoLabels pseudo = decide(step, target, step.place(/*host_only=*/largest_component_));
  return agreement(
      logits, step.upload(pseudo.labels, "pseudo-labels"), step.upload(pseudo.weight, "confident pixels"));
}

PseudoLabels SemiSupervised::decide(const Step& step, const Tensor& target, const Place& place) const {
  const PseudoLabels y = pseudo_labels_of(step, target, confidence_, largest_component_, place);
  step.log.readings.push_back({reading::pseudo_coverage, mean(step.upload(y.weight, "confident pixels"))});
  return y;
}

// The student's view of the unlabelled images with boxes of others; pseudo-labels and weights go with them.
LabeledImages SemiSupervised::mixed_views(Step& step, const Tensor& target) const {
  const Shape s = step.b.images().shape();
  const int64_t labeled = step.b.labeled, unlabeled = step.b.unlabeled();
  const LabeledImages mixed = labeled_images(unlabeled, s[1], s[2], s[3]);
  const PseudoLabels pseudo = decide(step, target, step.place(/*host_only=*/true));
  step.work([&] {
    const Batch& host = step.b.on_host();
    const LabeledImages own{
        on_host(host.views.back().images.rows(labeled, unlabeled)), pseudo.labels, pseudo.weight};
    const LabeledImages known =
        weighted_alike(on_host(host.images().rows(0, labeled)), host.labels().rows(0, labeled), 1);
    Rng rng = step.host_rng(site::paste);
    const bool square = mix_ == Mix::square || (mix_ == Mix::both && rng.below(2) == 0);
    if (square) paste_square(own, known, random_box(s[1], s[2], rng), mixed);  // EQ: 7.7 mixed view
    else cut_mix(own, rng, mixed);
  });
  return mixed;
}

Var SemiSupervised::copy_paste_loss(Step& step, const Tensor& target) {
  const LabeledImages mixed = copy_and_paste(step, target);
  const Var logits = step.student(step.upload(mixed.images, "mixed images"));
  return step.supervised_loss(
      logits, step.upload(mixed.labels, "mixed labels"), step.upload(mixed.weight, "weights"));
}

// In the warm-up the images are labelled ones, mixed among themselves.
LabeledImages SemiSupervised::copy_and_paste(Step& step, const Tensor& target) const {
  const Shape s = step.b.images().shape();
  const int64_t labeled = step.b.labeled, unlabeled = step.b.unlabeled();
  const LabeledImages mixed = labeled_images(target ? labeled + unlabeled : labeled, s[1], s[2], s[3]);
  PseudoLabels pseudo;
  if (target) pseudo = decide(step, target, step.place(/*host_only=*/true));
  step.work([&] {
    const Batch& host = step.b.on_host();
    Rng rng = step.host_rng(site::paste);
    const Box box = random_box(s[1], s[2], rng);
    const LabeledImages known =
        weighted_alike(on_host(host.images().rows(0, labeled)), host.labels().rows(0, labeled), 1);
    if (!target) return mix_among(known, box, mixed);
    float* w = pseudo.weight.data<float>();
    for (int64_t i = 0; i < pseudo.weight.numel(); ++i) w[i] *= float(pseudo_weight_);
    const Tensor images = on_host(host.images().rows(labeled, unlabeled));
    exchange(known, {images, pseudo.labels, pseudo.weight}, box, mixed);
  });
  return mixed;
}

}  // namespace patchcl
