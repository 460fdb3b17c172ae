// What the uncertainty gates of a network (layers/uncertainty_gate.h) see in a case, beside its overlay.
#pragma once
#include "data/picture.h"
#include "train/evaluate/inference.h"

namespace patchcl {

// Numbers (h,w) in [0,1] as a picture of that width, 0 dark to 1 yellow.
Canvas heat_map(const float* values, int64_t h, int64_t w, int64_t width);

// The scale of pictures of uncertainty.
Canvas uncertainty_scale(int64_t width, int64_t height);

// A picture of about that width: the uncertainty H of every gate on the pictured slice, with its mean; a
// column for each level, the encoder's row above the decoder's, and the scale. The network must have gates.
Canvas uncertainty_panels(const Predictor& network, const Volume& v, const InferenceOptions& options,
    const Arena& arena, int64_t width);

// The overlay of a case and, where the network has gates, these panels below.
Canvas with_uncertainty(const Canvas& overlay, const Predictor& network, const Volume& v,
    const InferenceOptions& options, const Arena& arena);

}  // namespace patchcl
