#include "train/methods/contrast_options.h"

namespace patchcl {

namespace {
const Names<Contrast> kContrast{{"off", Contrast::off}, {"info-nce", Contrast::info_nce},
    {"guided", Contrast::guided}, {"prototype", Contrast::prototype}, {"intra-inter", Contrast::intra_inter}};
const Names<Embed> kEmbed{
    {"patch", Embed::patch}, {"region", Embed::region}, {"attention", Embed::attention}};
const Names<HardNegatives> kHardNegatives{{"off", HardNegatives::off},
    {"truncated", HardNegatives::truncated}, {"released", HardNegatives::released},
    {"replaced", HardNegatives::replaced}};
const Names<bool> kAnchors{{"teacher", false}, {"student", true}};
const Names<AreaFilterMode> kAreaFilter{{"off", AreaFilterMode::off},
    {"corrected", AreaFilterMode::corrected}, {"released", AreaFilterMode::released}};

}  // namespace

void ContrastOptions::declare(OptionList& o) {
  o.group("Contrast");
  o.choose("contrast", contrast, kContrast,
      "Contrastive loss; prototype: the guided one against class means, lambda 0 and psi the classes; "
      "intra-inter: Boserup and Selvan's, against windows without the class and those of other classes");
  o.choose("embed", embed, kEmbed,
      "What is compared: patches of their own, windows of the decoder's map pooled by their class, or plain "
      "patches whose encoder map is pooled so");
  o.add("embed-level", embed_level, "Level of the encoder that --embed attention pools, 0 the finest",
      kNotNegative);
  o.add("contrast-weight", weight, "Weight of the contrastive loss", kNotNegative);
  o.add("contrast-ramp", ramped, "The weight grows with that of the consistency loss");
  o.add("contrast-match", match,
      "The weight follows the gradients: the contrast's has this share of the supervised one's on the layers "
      "that both reach, measured every 200 steps; --contrast-weight holds until then; 0: it always holds",
      kNotNegative);
  o.add("warm-up-contrast", in_warm_up, "Contrast in the warm-up too");
  o.add("embedding", dimension, "Numbers in an embedding", at_least(2));
  o.add("head-norm", head_norm, "The projection head ends with a batch norm");
  o.add("pooled-covariance", pooled_covariance, "One covariance within the classes for all of them");
  o.add("warm-up-tau", warm_up.tau, "Temperature during the warm-up", kPositive);
  o.add("warm-up-lambda", warm_up.lambda, "Scale of the class covariances during the warm-up", kNotNegative);
  o.add("warm-up-psi", warm_up.psi, "Weight of the negatives during the warm-up", kPositive);
  o.add("tau", guided.tau, "Temperature", kPositive);
  o.add("lambda", guided.lambda, "Scale of the class covariances", kNotNegative);
  o.add("psi", guided.psi, "Weight of the negatives", kPositive);
  o.add("info-nce-tau", info_nce_tau, "Temperature of InfoNCE", kPositive);
  o.add("info-nce-negatives", info_nce_negatives, "Newest queue entries of each class that InfoNCE takes",
      at_least(1));
  o.add("absent-negatives", absent_negatives,
      "InfoNCE against windows of the step that do not show the class, too");
  o.choose("hard-negatives", hard_negatives.scheme, kHardNegatives, "Synthetic hard negatives");
  o.choose("hard-negative-anchors", student_anchors, kAnchors,
      "Whose embeddings of the step's patches hard negatives are close to");
  o.add("queue", queue, "Teacher embeddings kept per class", at_least(2));
  o.add("queue-ready", queue_ready, "Embeddings before a class takes part", at_least(2));
  patches.declare(o);
  o.add("patches", patches_per_class, "Patches per class and step", at_least(1));
  o.add("attended-patches", attended, "Patches show image times confidence, not the plain image");
  o.choose("area-filter", area_filter, kAreaFilter, "Drop patches that show too little of their class");
  o.add("area-target", area_target, "Share of the patches that the area filter keeps", kShare);
}

void ContrastOptions::forbid_without_effect(const OptionList& o) const {
  const std::vector<std::string> moments{"warm-up-tau", "warm-up-lambda", "warm-up-psi", "lambda", "psi",
      "hard-negatives", "hard-negative-anchors", "pooled-covariance"},
      pairs{"info-nce-tau", "info-nce-negatives", "absent-negatives"},
      any{"tau", "contrast-weight", "contrast-ramp", "contrast-match", "warm-up-contrast", "head-norm",
          "embed", "embedding", "queue", "queue-ready", "attended-patches"};
  const std::string with = "with --contrast " + name_of(contrast, kContrast);
  if (contrast != Contrast::guided)
    o.forbid(moments, with + ", which does not look at moments of the queues");
  if (contrast != Contrast::info_nce) o.forbid(pairs, with);
  if (contrast == Contrast::info_nce) o.forbid({"tau"}, with + "; it reads --info-nce-tau");
  if (contrast == Contrast::off) o.forbid(any, with);
  if (contrast == Contrast::intra_inter) o.forbid({"queue-ready"}, with);
  if (patches.sampling == Sampling::uniform || patches.sampling == Sampling::confidence ||
      patches.sampling == Sampling::cosine || patches.sampling == Sampling::boxes)
    o.forbid({"entropy-of"}, "with a --sampling that does not look at entropy");
  if (area_filter == AreaFilterMode::off) o.forbid({"area-target"}, "with --area-filter off");
  if (hard_negatives.scheme == HardNegatives::off)
    o.forbid({"hard-negative-anchors"}, "with --hard-negatives off");
  if (embed != Embed::attention)
    o.forbid({"embed-level"}, "without --embed attention, which pools the encoder's map of that level");
  if (embed == Embed::patch) return;
  if (contrast == Contrast::intra_inter)
    fail(ExitCode::usage, "options",
        "--contrast intra-inter compares patches; leave --embed out, or try prototype or guided with it");
  o.forbid({"absent-negatives"}, "with --embed region or attention, which draw no windows without a class");
  o.forbid({"attended-patches"}, "with --embed region or attention, which weigh by confidence");
}

}  // namespace patchcl
