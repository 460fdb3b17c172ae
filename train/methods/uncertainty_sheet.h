// What the uncertainty gates of a network (layers/uncertainty_gate.h) see in an image, for people.
#pragma once
#include "train/methods/step.h"

namespace patchcl {

// Some images of the batch and below each the uncertainty H of every gate, 0 dark to 1 yellow, from the
// image's side of the network to the other. Of a network without gates: an empty list.
std::vector<NamedPicture> uncertainty_sheet(const TrainState& s, const Batch& b);

}  // namespace patchcl
