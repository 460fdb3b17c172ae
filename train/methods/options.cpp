#include "train/methods/options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>

namespace patchcl {

namespace {

template <class E>
using Names = std::map<std::string, E>;

const Names<Consistency> kConsistency{
    {"mse", Consistency::mean_squared_error}, {"ce", Consistency::cross_entropy}};
const Names<Contrast> kContrast{
    {"off", Contrast::off}, {"info-nce", Contrast::info_nce}, {"guided", Contrast::guided}};
const Names<HardNegatives> kHardNegatives{{"off", HardNegatives::off},
    {"truncated", HardNegatives::truncated}, {"released", HardNegatives::released}};
const Names<Sampling> kSampling{{"entropy", Sampling::entropy}, {"uniform", Sampling::uniform},
    {"confidence", Sampling::confidence}, {"cosine", Sampling::cosine}, {"top-k", Sampling::top_k},
    {"boxes", Sampling::boxes}};
const Names<Parity> kParity{{"bernoulli", Parity::bernoulli}, {"threshold", Parity::threshold}};
const Names<EntropyOf> kEntropyOf{
    {"confidence", EntropyOf::confidence}, {"attended", EntropyOf::attended_image}};
const Names<AreaFilterMode> kAreaFilter{{"off", AreaFilterMode::off},
    {"corrected", AreaFilterMode::corrected}, {"released", AreaFilterMode::released}};

}  // namespace

namespace {

// A titled list of options; the value that an option has when it is not given prints as its default.
class Group {
 public:
  Group(CLI::App& app, const std::string& title) : group_(*app.add_option_group(title)) {}
  template <class T>
  void add(const std::string& flag, T& value, const std::string& help) {
    group_.add_option(flag, value, help)->capture_default_str();
  }
  void add(const std::string& flag, std::optional<double>& value, const std::string& help) {
    group_.add_option(flag, value, help);
  }
  // An option whose values have names.
  template <class E>
  void choose(const std::string& flag, E& value, const Names<E>& names, const std::string& help) {
    std::string chosen;
    for (const auto& [name, e] : names)
      if (e == value) chosen = name;
    group_
        .add_option_function<std::string>(
            flag, [&value, &names](const std::string& s) { value = names.at(s); }, help)
        ->check(CLI::IsMember(names))
        ->default_str(chosen);
  }

 private:
  CLI::Option_group& group_;
};

}  // namespace

void MethodOptions::add(CLI::App& app) {
  Group g(app, "Semi-supervised methods");
  g.add("--ema", ema, "Decay of the teacher's average");
  g.add("--warm-up", warm_up, "Share of the iterations on labelled images alone");
  g.add("--ramp-up", ramp_up, "Share of the iterations over which the consistency weight grows");
  g.add("--consistency-weight", consistency_weight, "Weight of the consistency loss after its ramp-up");
  g.choose("--consistency", consistency, kConsistency,
      "Squared error of softmax, or cross-entropy against confident pseudo-labels");
  g.add("--confidence", confidence, "Pseudo-labels count where the largest probability is at least this");
  g.add("--largest-component", largest_component, "Pseudo-labels keep the largest component of each class");
  g.add("--dropout-passes", dropout_passes, "Noisy teacher passes of ua-mt");
  g.add("--copy-paste", copy_paste, "Mix labelled and unlabelled images in both directions");
  g.add("--pseudo-weight", pseudo_weight, "Weight of pseudo-labelled pixels in mixed images");
  g.choose("--contrast", contrast, kContrast, "Contrastive loss of patchcl");
  g.add("--contrast-weight", contrast_weight, "Weight of the contrastive loss");
  g.add("--warm-up-contrast", warm_up_contrast, "Contrast in the warm-up too");
  g.add("--warm-up-tau", warm_up_loss.tau, "Temperature during the warm-up");
  g.add("--warm-up-lambda", warm_up_loss.lambda, "Scale of the class covariances during the warm-up");
  g.add("--warm-up-psi", warm_up_loss.psi, "Weight of the negatives during the warm-up");
  g.add("--tau", loss.tau, "Temperature");
  g.add("--lambda", loss.lambda, "Scale of the class covariances");
  g.add("--psi", loss.psi, "Weight of the negatives");
  g.add("--info-nce-tau", info_nce_tau, "Temperature of InfoNCE");
  g.add("--info-nce-negatives", info_nce_negatives, "Newest queue entries of each class that InfoNCE takes");
  g.choose("--hard-negatives", hard_negatives.scheme, kHardNegatives, "Synthetic hard negatives");
  g.add("--queue", queue, "Teacher embeddings kept per class");
  g.add("--queue-ready", queue_ready, "Embeddings before a class takes part");
  add_patches(app);
}

void MethodOptions::add_patches(CLI::App& app) {
  Group g(app, "Patches");
  g.add("--patch-side", patches.side, "Side of a patch; 0: a quarter of the image");
  g.add("--patch-stride", patches.stride, "Distance of candidate windows; 0: half a side");
  g.add("--patches", patches_per_class, "Patches per class and step");
  g.choose("--sampling", patches.sampling, kSampling, "How patches are drawn from their candidates");
  g.choose("--parity", patches.parity, kParity, "How a window becomes positive for a class");
  g.choose("--entropy-of", patches.entropy_of, kEntropyOf,
      "Entropy of the confidence, or of image times confidence");
  g.add("--attended-patches", attended_patches, "Patches show image times confidence, not the plain image");
  g.choose("--area-filter", area_filter, kAreaFilter, "Drop patches that show too little of their class");
  g.add("--area-target", area_target, "Share of the patches that the area filter keeps");
}

PatchOptions patch_options(PatchOptions o, int64_t image_side, int64_t multiple) {
  if (o.side == 0) o.side = std::max(multiple, (image_side / 4 + multiple / 2) / multiple * multiple);
  if (o.side % multiple != 0)
    fail(ExitCode::usage, "patches", "--patch-side ", o.side, " is not a multiple of ", multiple,
        ", which the encoder wants");
  if (o.stride == 0) o.stride = std::max<int64_t>(1, o.side / 2);
  return o;
}

MethodOptions resolved(MethodOptions o, const std::string& method) {
  struct Defaults {
    double warm_up, ramp_up, consistency_weight;
  };
  const std::map<std::string, Defaults> table{
      {"mean-teacher", {0, 1, 0.1}},                              // METHODS 4.4
      {"ua-mt", {0, 1, 0.1}},                                     // METHODS 4.4
      {"fixmatch", {0, 1, 1}}, {"patchcl", {1. / 3, 1. / 3, 4}},  // METHODS 1.9, 1.12
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
  want(o.queue_ready >= 2 && o.queue_ready <= o.queue, "--queue-ready", double(o.queue_ready),
      "between 2 and --queue");
  return o;
}

}  // namespace patchcl
