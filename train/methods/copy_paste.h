// Bidirectional copy-paste (Bai et al., CVPR 2023): every training image shows labelled and unlabelled
// content at once.
//
// For a labelled image a and an unlabelled b with box M (1 inside):
//   in = a M + b (1 - M),   out = b M + a (1 - M);
// labels are mixed likewise from the true and the pseudo-label, and so are the weights of the pixels.
#pragma once
#include "tensor/arena.h"
#include "tensor/random.h"

namespace patchcl {

// Images with a label and a weight for each pixel, on the host.
struct LabeledImages {
  Tensor images;  // f32 (n,H,W,C)
  Tensor labels;  // u8 (n,H,W)
  Tensor weight;  // f32 (n,H,W)
  LabeledImages rows(int64_t begin, int64_t count) const {
    return {images.rows(begin, count), labels.rows(begin, count), weight.rows(begin, count)};
  }
};
LabeledImages labeled_images(int64_t n, int64_t height, int64_t width, int64_t channels);
// The same with a weight of 1 everywhere.
LabeledImages fully_trusted(const Tensor& images, const Tensor& labels);

struct Box {
  int64_t top, left, height, width;
};
// Two thirds of each side, anywhere.
Box random_box(int64_t height, int64_t width, Rng& rng);

// Row i of `to`: base[i] with the box of patch[i] pasted in. One box for all rows.
void paste(const LabeledImages& base, const LabeledImages& patch, const Box& box, const LabeledImages& to);
// Both directions: the first half of `to` is `in`, the second `out`, of the first rows of each side.
void exchange(
    const LabeledImages& labeled, const LabeledImages& unlabeled, const Box& box, const LabeledImages& to);
// Each image with the box of the one behind it.
void mix_among(const LabeledImages& x, const Box& box, const LabeledImages& to);

}  // namespace patchcl
