// The names under which steps log what they compute (LossTerms), as metrics.jsonl, audits and pages have
// them.
#pragma once
#include <string>

namespace patchcl {

// What the loss is made of.
namespace term {
constexpr const char *ce = "ce", *dice = "dice_loss";  // of labels: METHODS 4.4
constexpr const char *consistency = "consistency", *contrast = "contrast";
constexpr const char *pdcr = "pdcr", *pdcr_decoder = "pdcr_decoder", *pdcr_cross = "pdcr_cross";
constexpr const char *strong = "strong", *perturbed = "perturbed";  // of UniMatch
constexpr const char *global_contrast = "global_contrast", *local_contrast = "local_contrast";
}  // namespace term

// What is only looked at: weights, shares, counts.
namespace reading {
constexpr const char *consistency_weight = "consistency_weight", *contrast_weight = "contrast_weight";
constexpr const char *pseudo_coverage = "pseudo_coverage", *ready_classes = "ready_classes";
}  // namespace reading

inline bool is_reading(const std::string& name) {
  for (const char* known : {reading::consistency_weight, reading::contrast_weight, reading::pseudo_coverage,
           reading::ready_classes})
    if (name == known) return true;
  return false;
}

}  // namespace patchcl
