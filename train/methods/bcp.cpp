#include "train/methods/bcp.h"

#include <algorithm>
#include <cmath>

#include "autograd/ops/arith.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/softmax.h"
#include "losses/cross_entropy.h"
#include "losses/dice.h"

namespace patchcl {

namespace {

AddMethod bcp{{35, "bcp", "bidirectional copy-paste in two phases (Bai et al. 2023)", make<Bcp>}};

constexpr double kSmooth = 1e-10;

// Images [begin, begin + count) of the host's batch with their labels, or those given.
LabeledImages images_of(const Batch& host, int64_t begin, int64_t count, const Tensor& labels = {}) {
  const Tensor y = labels ? labels : host.labels().rows(begin, count);
  return weighted_alike(on_host(host.images().rows(begin, count)), y, 1);
}

}  // namespace

Bcp::Mixed::Mixed(const Shape& s) : to(labeled_images(s[0], s[1], s[2], s[3])) {
  const Arena host("copy-paste");
  outside = host.empty(to.weight.shape(), DType::f32);
  ce_weight = host.empty(to.weight.shape(), DType::f32);
}

void Bcp::mix(const LabeledImages& base, const LabeledImages& patch, const Box& square, double w_out,
    double w_in, const Mixed& x) {
  paste(weighted_alike(base.images, base.labels, 0), patch, square, x.to);  // EQ: 7.2 mixed images
  const Tensor& inside = x.to.weight;
  const double all = double(inside.numel());
  const double in = double(inside.shape()[0] * square.height * square.width);
  const float each_in = float(w_in * all / in), each_out = float(w_out * all / (all - in));
  for (int64_t i = 0; i < inside.numel(); ++i) {
    const bool pasted = inside.data<float>()[i] > 0;
    x.outside.data<float>()[i] = pasted ? 0 : 1;
    x.ce_weight.data<float>()[i] = pasted ? each_in : each_out;
  }
}

Bcp::Bcp() {
  options().group("Bidirectional copy-paste");
  read_labeled_batch(labeled_batch_);
  options().add("pre-training", pre_training_, "Share of the run on labelled images alone", kShare);
  options().add("pseudo-weight", pseudo_weight_, "Weight of pseudo-labelled regions", kShare);
  read_largest_component(largest_component_);
  read_teacher();
}

void Bcp::resolve(const RunShape& run) {
  AveragedTeacher::resolve(run);
  if (labeled_batch_ == 0) labeled_batch_ = run.batch / 2;
  if (labeled_batch_ < 2 || labeled_batch_ % 2 || run.batch != 2 * labeled_batch_)
    fail(ExitCode::usage, "options", "a batch of ", run.batch, " with ", labeled_batch_,
        " labelled images; bcp mixes halves of both kinds: --batch is a multiple of 4, half of it labelled");
  pre_training_steps_ = pre_training_steps(run);
}

int64_t Bcp::pre_training_steps(const RunShape& run) const {
  return std::min(run.iterations, int64_t(std::ceil(pre_training_ * double(run.iterations))));
}

std::vector<Phase> Bcp::phases(const RunShape& run) const {
  Phase early = whole_run(run, labeled_batch_);
  early.halves_labeled = early.halves_unlabeled = true;
  Phase late = early;
  early.name = "pre-training";
  early.unlabeled = 0;
  early.iterations = pre_training_steps(run);
  late.name = "self-training";
  late.iterations = run.iterations - early.iterations;
  late.start = Phase::Start::best;
  late.copy_to_teacher = true;
  std::vector<Phase> all{early, late};
  std::erase_if(all, [](const Phase& p) { return p.iterations == 0; });
  return all;
}

Var Bcp::loss(Tape& tape, const TrainState& s, const Batch& b, LossTerms& log) {
  Step step{tape, s, b, log};
  const int64_t n = b.labeled / 2;
  const Batch& host = b.on_host();
  const Shape half = b.images().rows(0, n).shape();
  Rng rng = step.host_rng(site::paste);
  const Box square = random_box(half[1], half[2], rng);
  std::vector<RegionLoss> parts;
  if (pre_training(s)) {
    const Mixed x(half);
    step.work([&] { mix(images_of(host, 0, n), images_of(host, n, n), square, 1, 1, x); });
    parts = {region_loss(step, x, 1, 1, site::student)};
  } else {
    const double w = pseudo_weight_;
    const Tensor y_u = pseudo_labels(step, b.labeled, n, site::teacher),
                 y_v = pseudo_labels(step, b.labeled + n, n, site::second_teacher);
    const Mixed x_u(half), x_l(half);
    step.work([&] {
      mix(images_of(host, b.labeled, n, y_u), images_of(host, 0, n), square, w, 1, x_u);
      mix(images_of(host, n, n), images_of(host, b.labeled + n, n, y_v), square, 1, w, x_l);
    });
    parts = {region_loss(step, x_u, w, 1, site::student), region_loss(step, x_l, 1, w, site::second_student)};
  }
  Var ce = parts[0].ce, dice = parts[0].dice;
  if (parts.size() > 1) {
    ce = add(ce, parts[1].ce);
    dice = add(dice, parts[1].dice);
  }
  log.terms.push_back({term::ce, ce});
  log.terms.push_back({term::dice, dice});
  return affine(add(ce, dice), 0.5);
}

Tensor Bcp::pseudo_labels(Step& step, int64_t begin, int64_t count, uint32_t site) const {
  const Var images = step.tape.constant(step.b.images().rows(begin, count), "unlabelled images");
  const Tensor p = step.predict(*step.s.teacher, images, teacher_mode(), site).probabilities;
  return pseudo_labels_of(step, p, /*confidence=*/0, largest_component_, step.place(/*host_only=*/true))
      .labels;
}

Bcp::RegionLoss Bcp::region_loss(Step& step, const Mixed& x, double w_out, double w_in, uint32_t site) const {
  const Var logits = step.student_pass(step.upload(x.to.images, "mixed images"), site).logits;
  const Var labels = step.upload(x.to.labels, "mixed labels"), p = softmax(logits);
  const Var outside = dice_loss(p, labels, step.upload(x.outside, "outside"), kSmooth),
            inside = dice_loss(p, labels, step.upload(x.to.weight, "inside"), kSmooth);
  return {cross_entropy(logits, labels, step.upload(x.ce_weight, "weights"), step.s.border_weight),
      add(affine(outside, w_out), affine(inside, w_in))};  // EQ: 7.2 region loss
}

}  // namespace patchcl
