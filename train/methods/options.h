// What can be chosen about the semi-supervised methods; one struct, so that a run's resolved options print as
// one list.
#pragma once
#include <optional>
#include <string>

#include "train/methods/patch_sampler.h"
#include "losses/guided_contrastive.h"
#include "losses/hard_negatives.h"

namespace CLI {
class App;
}

namespace patchcl {

enum class Consistency { mean_squared_error, cross_entropy };
enum class Contrast { off, info_nce, guided };

// Where a value is std::nullopt, the method decides: see resolved().
struct MethodOptions {
  // Teacher and schedule.
  double ema = 0.99;
  std::optional<double> warm_up;  // share of the iterations trained on labelled images alone
  std::optional<double> ramp_up;  // share of the iterations over which the consistency weight grows
  std::optional<double> consistency_weight;  // gamma of METHODS 1.12, 0.1 of 4.4
  Consistency consistency = Consistency::mean_squared_error;
  // Pseudo-labels.
  double confidence = 0.75;        // pixels below take no part in pseudo-label losses
  bool largest_component = false;  // of each class in each slice
  int64_t dropout_passes = 8;      // T of ua-mt
  // Copy-paste.
  bool copy_paste = false;
  double pseudo_weight = 0.5;  // of pixels with a pseudo-label
  // Contrast.
  Contrast contrast = Contrast::guided;
  double contrast_weight = 0.5;  // beta of METHODS 1.12
  bool warm_up_contrast = true;  // false: the warm-up is supervised only, an ablation of 1.12
  GuidedContrastiveOptions warm_up_loss{.tau = 0.2, .lambda = 4, .psi = 4096};
  GuidedContrastiveOptions loss{.tau = 1, .lambda = 10, .psi = 1};
  double info_nce_tau = 0.2;
  int64_t info_nce_negatives = 256;  // newest of each class's queue
  HardNegativeOptions hard_negatives;
  int64_t queue = 4096, queue_ready = 32;  // capacity; entries before a class takes part
  // Patches. side and stride 0: a quarter of the image, in multiples of what the encoder wants; half a side.
  PatchOptions patches{.side = 0, .stride = 0};
  int64_t patches_per_class = 8;
  bool attended_patches = true;  // x C instead of x
  AreaFilterMode area_filter = AreaFilterMode::corrected;
  double area_target = 0.8;

  // Declares all of them, in two groups for --help.
  void add(CLI::App& app);
  // Those that say where patches come from: all that `patchcl inspect` needs.
  void add_patches(CLI::App& app);
};

// Side and stride for images of this side; the encoder wants sides that are multiples of `multiple`, else
// Error(usage).
PatchOptions patch_options(PatchOptions options, int64_t image_side, int64_t multiple);
// With the defaults of `method` where nothing was chosen. Throws Error(usage) for values that make no sense.
MethodOptions resolved(MethodOptions options, const std::string& method);

}  // namespace patchcl
