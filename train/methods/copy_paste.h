// Bidirectional copy-paste (Bai et al., CVPR 2023): every training image shows labelled and unlabelled
// content at once.
//
// For a labelled image a and an unlabelled b with box M (1 inside):  in = a M + b (1 - M),  out = b M + a (1
// - M); labels are mixed likewise from the true and the pseudo-label, and a pixel weighs 1 or `pseudo_weight`
// by its origin.
#pragma once
#include "tensor/arena.h"
#include "tensor/random.h"

namespace patchcl {

// One side of the exchange, on the host.
struct Labeled {
  Tensor images;  // f32 (n,H,W,C)
  Tensor labels;  // u8 (n,H,W)
  Tensor weight;  // f32 (n,H,W)
};

struct Box {
  int64_t top, left, height, width;
};
// Two thirds of each side, anywhere.
Box random_box(int64_t height, int64_t width, Rng& rng);

// Row i: base[i] with the box of patch[i] pasted in; both have the same shape. One box for all rows.
Labeled paste(const Labeled& base, const Labeled& patch, const Box& box);

}  // namespace patchcl
