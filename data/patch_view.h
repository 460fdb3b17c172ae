// The teacher's view of a patch (METHODS 1.6): intensities change before the confidence is multiplied in, so that what
// the model masked out stays black; flips and crops move the product.
//
// Horizontal flip with p 0.7; with p 0.5 a crop of up to 20 % on each side, resized back; then each with p 0.5:
// Gaussian noise of sigma up to 0.05, linear contrast and brightness with factors in 0.5 .. 1.5, clamped to [0,1].
// Left out for grey images: hue, saturation, greyscale blending.
#pragma once
#include "data/patch_sampler.h"

namespace patchcl {

// (side,side,C) into `out`.
void strong_patch(const PatchImages& batch, const Patch& patch, int64_t side, bool attended, Rng& rng, float* out);

}  // namespace patchcl
