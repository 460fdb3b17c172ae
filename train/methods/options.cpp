#include "train/methods/options.h"

#include <map>

namespace patchcl {

namespace {

template <class E> using Names = std::map<std::string, E>;

const Names<Consistency> kConsistency{{"mse", Consistency::mean_squared_error}, {"ce", Consistency::cross_entropy}};
const Names<Contrast> kContrast{{"off", Contrast::off}, {"info-nce", Contrast::info_nce}, {"guided", Contrast::guided}};
const Names<HardNegatives> kHardNegatives{{"off", HardNegatives::off}, {"truncated", HardNegatives::truncated}, {"released", HardNegatives::released}};
const Names<Sampling> kSampling{{"entropy", Sampling::entropy}, {"uniform", Sampling::uniform}, {"confidence", Sampling::confidence},
                                {"cosine", Sampling::cosine}, {"top-k", Sampling::top_k}, {"boxes", Sampling::boxes}};
const Names<Parity> kParity{{"bernoulli", Parity::bernoulli}, {"threshold", Parity::threshold}};
const Names<EntropyOf> kEntropyOf{{"confidence", EntropyOf::confidence}, {"attended", EntropyOf::attended_image}};
const Names<AreaFilterMode> kAreaFilter{{"off", AreaFilterMode::off}, {"corrected", AreaFilterMode::corrected}, {"released", AreaFilterMode::released}};

// An option whose values have names; the resolved value prints by its name too.
template <class E> void add_choice(CLI::Option_group& group, const std::string& flag, E& value, const Names<E>& names, const std::string& help) {
  std::string choices, chosen;
  for (const auto& [name, e] : names) {
    choices += (choices.empty() ? "" : "|") + name;
    if (e == value) chosen = name;
  }
  group.add_option_function<std::string>(flag, [&value, &names](const std::string& s) { value = names.at(s); }, help)
      ->check(CLI::IsMember(names))
      ->type_name(choices)
      ->default_str(chosen);
}

}  // namespace

void MethodOptions::add(CLI::App& app) {
  MethodOptions& o = *this;
  CLI::Option_group& g = *app.add_option_group("Semi-supervised methods");
  const auto add = [&](const std::string& flag, auto& value, const std::string& help) { return g.add_option(flag, value, help); };
  const auto add_default = [&](const std::string& flag, auto& value, const std::string& help) { return add(flag, value, help)->capture_default_str(); };
  add_default("--ema", o.ema, "Decay of the teacher's average");
  add("--warm-up", o.warm_up, "Share of the iterations on labelled images alone");
  add("--ramp-up", o.ramp_up, "Share of the iterations over which the consistency weight grows");
  add("--consistency-weight", o.consistency_weight, "Weight of the consistency loss after its ramp-up");
  add_choice(g, "--consistency", o.consistency, kConsistency, "Squared error of softmax, or cross-entropy against confident pseudo-labels");
  add_default("--confidence", o.confidence, "Pseudo-labels count where the largest probability is at least this");
  add_default("--largest-component", o.largest_component, "Pseudo-labels keep the largest component of each class");
  add_default("--dropout-passes", o.dropout_passes, "Noisy teacher passes of ua-mt");
  add_default("--copy-paste", o.copy_paste, "Mix labelled and unlabelled images in both directions");
  add_default("--pseudo-weight", o.pseudo_weight, "Weight of pseudo-labelled pixels in mixed images");
  add_choice(g, "--contrast", o.contrast, kContrast, "Contrastive loss of patchcl");
  add_default("--contrast-weight", o.contrast_weight, "Weight of the contrastive loss");
  add_default("--warm-up-tau", o.warm_up_loss.tau, "Temperature during the warm-up");
  add_default("--warm-up-lambda", o.warm_up_loss.lambda, "Scale of the class covariances during the warm-up");
  add_default("--warm-up-psi", o.warm_up_loss.psi, "Weight of the negatives during the warm-up");
  add_default("--tau", o.loss.tau, "Temperature");
  add_default("--lambda", o.loss.lambda, "Scale of the class covariances");
  add_default("--psi", o.loss.psi, "Weight of the negatives");
  add_default("--info-nce-tau", o.info_nce_tau, "Temperature of InfoNCE");
  add_default("--info-nce-negatives", o.info_nce_negatives, "Newest queue entries of each class that InfoNCE takes");
  add_choice(g, "--hard-negatives", o.hard_negatives.scheme, kHardNegatives, "Synthetic hard negatives");
  add_default("--queue", o.queue, "Teacher embeddings kept per class");
  add_default("--queue-ready", o.queue_ready, "Embeddings before a class takes part");
  add_default("--patch-side", o.patches.side, "Side of a patch; 0: a quarter of the image");
  add_default("--patch-stride", o.patches.stride, "Distance of candidate windows; 0: half a side");
  add_default("--patches", o.patches_per_class, "Patches per class and step");
  add_choice(g, "--sampling", o.patches.sampling, kSampling, "How patches are drawn from their candidates");
  add_choice(g, "--parity", o.patches.parity, kParity, "How a window becomes positive for a class");
  add_choice(g, "--entropy-of", o.patches.entropy_of, kEntropyOf, "Entropy of the confidence, or of image times confidence");
  add_default("--attended-patches", o.attended_patches, "Patches show image times confidence, not the plain image");
  add_choice(g, "--area-filter", o.area_filter, kAreaFilter, "Drop patches that show too little of their class");
  add_default("--area-target", o.area_target, "Share of the patches that the area filter keeps");
}

MethodOptions resolved(MethodOptions o, const std::string& method) {
  struct Defaults { double warm_up, ramp_up, consistency_weight; };
  const std::map<std::string, Defaults> table{
      {"mean-teacher", {0, 1, 0.1}},       // METHODS 4.4
      {"ua-mt", {0, 1, 0.1}},              // METHODS 4.4
      {"fixmatch", {0, 1, 1}},
      {"patchcl", {1. / 3, 1. / 3, 4}},    // METHODS 1.9, 1.12
  };
  const auto found = table.find(method);
  const Defaults d = found == table.end() ? Defaults{0, 0, 0} : found->second;
  // Copy-paste needs pseudo-labels worth pasting, so it warms up as patchcl does.
  if (!o.warm_up) o.warm_up = o.copy_paste ? 1. / 3 : d.warm_up;
  if (!o.ramp_up) o.ramp_up = d.ramp_up;
  if (!o.consistency_weight) o.consistency_weight = d.consistency_weight;
  if (method == "fixmatch") o.consistency = Consistency::cross_entropy;
  const auto want = [](bool fine, const char* flag, double value, const char* range) {
    if (!fine) fail(ExitCode::usage, "options", flag, " ", value, " is not ", range);
  };
  const auto share = [&](const char* flag, double v) { want(v >= 0 && v <= 1, flag, v, "in [0,1]"); };
  const auto positive = [&](const char* flag, double v) { want(v > 0, flag, v, "above 0"); };
  share("--ema", o.ema);
  share("--warm-up", *o.warm_up);
  share("--ramp-up", *o.ramp_up);
  share("--confidence", o.confidence);
  share("--pseudo-weight", o.pseudo_weight);
  share("--area-target", o.area_target);
  want(*o.consistency_weight >= 0, "--consistency-weight", *o.consistency_weight, "at least 0");
  want(o.contrast_weight >= 0, "--contrast-weight", o.contrast_weight, "at least 0");
  for (const GuidedContrastiveOptions& l : {o.warm_up_loss, o.loss}) {
    positive("--tau", l.tau);
    positive("--psi", l.psi);
    want(l.lambda >= 0, "--lambda", l.lambda, "at least 0");
  }
  positive("--info-nce-tau", o.info_nce_tau);
  positive("--info-nce-negatives", double(o.info_nce_negatives));
  positive("--dropout-passes", double(o.dropout_passes));
  positive("--queue", double(o.queue));
  positive("--patches", double(o.patches_per_class));
  want(o.queue_ready >= 2 && o.queue_ready <= o.queue, "--queue-ready", double(o.queue_ready), "between 2 and --queue");
  return o;
}

}  // namespace patchcl
