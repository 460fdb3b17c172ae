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
  o.choose("hard-negatives", hard_negatives.scheme, kHardNegatives, "Synthetic hard negatives");
  o.add("queue", queue, "Teacher embeddings kept per class", at_least(2));
  o.add("queue-ready", queue_ready, "Embeddings before a class takes part", at_least(2));
  patches.declare(o);
  o.add("patches", patches_per_class, "Patches per class and step", at_least(1));
  o.add("attended-patches", attended, "Patches show image times confidence, not the plain image");
  o.choose("area-filter", area_filter, kAreaFilter, "Drop patches that show too little of their class");
  o.add("area-target", area_target, "Share of the patches that the area filter keeps", kShare);
}

}  // namespace patchcl
