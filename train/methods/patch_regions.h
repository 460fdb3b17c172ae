// What the sampler sees of a step, and windows as regions of a map (METHODS 1.13, V1).
#pragma once
#include "train/methods/patch_sampler.h"
#include "train/methods/patch_view.h"
#include "train/methods/step.h"

namespace patchcl {

// Images with the confidence of their pixels: labels as one-hot on the labelled ones, `target` (m,H,W,K) on
// the unlabelled ones behind them, or on the `mixed` images that were seen in their place. Without a target
// the labelled images alone.
struct SeenImages {
  SeenImages(const Step& step, const Tensor& target, int64_t K, const Place& place, const Tensor& mixed = {});
  Tensor images, confidence;
  PatchImages batch;
};

// What a step's sampler sees and draws, for people.
struct DrawnWindows {
  SeenImages seen;
  PatchOptions options;
  SampledPatches drawn;
};

// Labels as confidence, 0 everywhere where the weight is 0: (m,H,W,K) on the host.
Tensor confidence_of(const Tensor& labels, const Tensor& weight, int64_t K);

// Windows of a map with weights that say how much each of their pixels shows the class:
//   w_r(m) = C_k(m) / sum over the window of C_k
struct Regions {
  Tensor windows;  // i32 (R,3): image, top, left
  Tensor weights;  // f32 (R,P,P)
  std::vector<int32_t> classes;
};
// Of `drawn` windows; in a plan their number alone counts.
Regions regions_of(const Step& step, const PatchImages& batch, const std::vector<Patch>& drawn, int64_t side);

// Weights (n,h,w) of the cells of an encoder's map of patches, h = w = side / 2^level: the mean of C_k over
// the pixels of a cell, as a share of the patch's sum; alike where that is 0. `views`: how the patches were
// seen, or empty (METHODS 1.13, V2).
Tensor attention_of(const Step& step, const PatchImages& batch, const std::vector<Patch>& drawn,
    const std::vector<PatchView>& views, int64_t side, int64_t level);

}  // namespace patchcl
