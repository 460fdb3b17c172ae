#include "train/methods/unimatch.h"

#include "autograd/ops/arith.h"
#include "autograd/ops/cast.h"
#include "autograd/ops/channel_dropout.h"
#include "autograd/ops/mean.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/softmax.h"
#include "losses/dice.h"
#include "tensor/bfloat16.h"

namespace patchcl {

namespace {

AddMethod unimatch{{34, "unimatch", "two strong views and dropped channels, one network (Yang et al. 2023)",
    make<UniMatch>}};

constexpr ViewKind kBlurred{.look = Look::blurred, .blur = 0.5}, kEightBits{.look = Look::eight_bits};

}  // namespace

UniMatch::UniMatch() {
  options().group("UniMatch");
  read_labeled_batch(labeled_batch_);
  read_confidence(confidence_);
  options().add("channel-dropout", channel_dropout_, "Share of the encoder's channels that are dropped",
      Range{0, 0.99});
  options().add("eight-bits", eight_bits_,
      "Unlabelled images that are not brightened or blurred are rounded down to 8 bits too");
}

void UniMatch::resolve(const RunShape& run) { labeled_batch_ = labeled_share(run, labeled_batch_, name()); }

// Behind the unlabelled images of --batch come as many whose boxes are cut.
std::vector<Phase> UniMatch::phases(const RunShape& run) const {
  Phase all = whole_run(run, labeled_batch_, {{}, kBlurred, kBlurred});
  if (eight_bits_) all.views.push_back(kEightBits);
  all.unlabeled *= 2;
  all.halves_unlabeled = true;
  return {all};
}

Var UniMatch::loss(Tape& tape, const TrainState& s, const Batch& b, LossTerms& log) {
  Step step{tape, s, b, log};
  const int64_t m = b.unlabeled() / 2;
  const Place host = step.place(/*host_only=*/true);
  const Var further = tape.constant(weak_view(step).rows(m, m), "further unlabelled images");
  const Tensor p_v = step.predict(*s.student, further, kEvaluation, site::teacher).probabilities;
  const Logits first = first_pass(step, m);
  const PseudoLabels of_v = pseudo_labels_of(step, p_v, confidence_, false, host),
                     of_u =
                         pseudo_labels_of(step, softmax(first.unlabeled).value(), confidence_, false, host);
  log.readings.push_back({reading::pseudo_coverage, mean(step.upload(of_u.weight, "confident pixels"))});
  Rng rng = step.host_rng(site::paste);
  const LabeledImages s1 = strong_view(step, 1, of_u, of_v, rng), s2 = strong_view(step, 2, of_u, of_v, rng);
  const Var views =
      concat({step.upload(s1.images, "strong view 1"), step.upload(s2.images, "strong view 2")}, 0);
  const Var logits = step.student_pass(views, site::second_student).logits;

  const Var supervised = step.supervised_loss(first.labeled, step.labeled(b.labels(), "labels"));
  const Var strong = add(agreement(step, slice(logits, 0, 0, m), s1.labels, s1.weight),
      agreement(step, slice(logits, 0, m, m), s2.labels, s2.weight));
  const Var perturbed = agreement(step, first.perturbed, of_u.labels, of_u.weight);
  log.terms.push_back({term::strong, strong});
  log.terms.push_back({term::perturbed, perturbed});
  const Var unlabeled = add(affine(strong, 0.125), affine(perturbed, 0.25));
  return add(affine(supervised, 0.5), unlabeled);  // EQ: 7.5 UniMatch loss
}

Tensor UniMatch::weak_view(const Step& step) const {
  return step.b.views[eight_bits_ ? 3 : 0].images.rows(step.b.labeled, step.b.unlabeled());
}

UniMatch::Logits UniMatch::first_pass(Step& step, int64_t m) const {
  const int64_t n = step.b.labeled;
  const Var labeled = step.labeled(step.b.images(), "labelled images"),
            unlabeled = step.tape.constant(weak_view(step).rows(0, m), "unlabelled images");
  const Var images = concat({labeled, unlabeled}, 0);
  Pass pass(step.tape, *step.s.student, /*training=*/true, step.s.rng, site::student);
  std::vector<Var> maps = step.s.model->encoder_maps(pass, images);
  for (Var& map : maps) {
    const DType dtype = map.dtype();  // bf16 if asked for
    const Var plain = widened(map);
    const Var dropped = channel_dropout(plain, channel_dropout_, pass.rng(), pass.next_site());
    map = cast(concat({plain, dropped}, 0), dtype);
  }
  const Var logits = step.s.model->decode(pass, maps).logits;
  return {slice(logits, 0, 0, n), slice(logits, 0, n, m), slice(logits, 0, n + m + n, m)};
}

LabeledImages UniMatch::strong_view(
    const Step& step, size_t view, const PseudoLabels& of_u, const PseudoLabels& of_v, Rng& rng) const {
  const Shape s = step.b.images().shape();
  const int64_t n = step.b.labeled, m = step.b.unlabeled() / 2;
  const LabeledImages to = labeled_images(m, s[1], s[2], s[3]);
  std::vector<Box> boxes;
  for (int64_t i = 0; i < m; ++i) boxes.push_back(random_cut(s[1], s[2], rng));
  step.work([&] {
    const Tensor& shown = step.b.on_host().views[view].images;
    const LabeledImages u{on_host(shown.rows(n, m)), of_u.labels, of_u.weight},
        v{on_host(shown.rows(n + m, m)), of_v.labels, of_v.weight};
    for (int64_t i = 0; i < m; ++i) paste(u.rows(i, 1), v.rows(i, 1), boxes[size_t(i)], to.rows(i, 1));
  });
  return to;
}

Var UniMatch::agreement(Step& step, const Var& logits, const Tensor& labels, const Tensor& weight) const {
  return dice_loss(
      softmax(logits), step.upload(labels, "pseudo-labels"), step.upload(weight, "confident pixels"));
}

}  // namespace patchcl
