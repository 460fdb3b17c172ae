// The fast kernel of affinity_contrast.h: the cosines of 32 x 128 pairs at a time are one matrix product, and
// what follows of them is computed along lines. A thread copies the patches of a tile that count side by
// side; beside its room there is an index an image.
#pragma once
#include "losses/affinity_contrast.h"

namespace patchcl::affinity_tiles {

size_t workspace(const Shapes& x, DType dtype);  // bytes

// losses_p = w_p l_p for each row p, and its logarithm into stats; the weights are there. `room` is what
// workspace() asks for.
template <class T> void forward(
    std::span<const Tensor> x, const AffinityContrastOptions& o, double* stats, double* losses, void* room);

// dy dL/dx of both sides.
template <class T> void backward(const Backward& b, const AffinityContrastOptions& o, void* room);

}  // namespace patchcl::affinity_tiles
