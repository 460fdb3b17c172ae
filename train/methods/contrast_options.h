// What the contrastive term of PatchCL can be told: the published form and those of METHODS 1.13.
#pragma once
#include "losses/guided_contrastive.h"
#include "losses/hard_negatives.h"
#include "train/methods/area_filter.h"
#include "train/methods/patch_sampler.h"

namespace patchcl {

enum class Contrast { off, info_nce, guided, prototype, intra_inter };
enum class Embed { patch, region, attention };

struct ContrastOptions {
  Contrast contrast = Contrast::guided;
  Embed embed = Embed::patch;
  int64_t embed_level = 3;  // of the encoder, for attention
  double weight = 0.5;      // beta of METHODS 1.12
  bool ramped = false;      // beta grows with w(t)
  double match = 0;         // beta from gradients (matched_weight.h); 0: it is `weight`
  bool in_warm_up = true;   // false: the warm-up is supervised only, an ablation of 1.12
  int64_t dimension = 128;  // of an embedding
  bool head_norm = false, pooled_covariance = false;
  GuidedContrastiveOptions warm_up{.tau = 0.2, .lambda = 4, .psi = 4096};
  GuidedContrastiveOptions guided{.tau = 1, .lambda = 10, .psi = 1};
  double info_nce_tau = 0.2;
  int64_t info_nce_negatives = 256;  // newest of each class's queue
  bool absent_negatives = false;     // windows without a class (b = 0) too
  HardNegativeOptions hard_negatives;
  bool student_anchors = false;  // hard negatives are close to the student's embeddings, not to the teacher's
  int64_t queue = 4096, queue_ready = 32;  // capacity; entries before a class takes part
  PatchOptions patches;
  int64_t patches_per_class = 8;
  bool attended = true;  // patches show x C instead of x
  AreaFilterMode area_filter = AreaFilterMode::corrected;
  double area_target = 0.8;

  void declare(OptionList& options);
  // Error(usage) for options that are set and not read with this contrast, and for pairs that do not fit.
  void forbid_without_effect(const OptionList& options) const;
};

}  // namespace patchcl
