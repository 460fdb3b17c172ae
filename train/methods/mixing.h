// Mixing: training images that show a box of another one. Labels and weights of the pixels go with them.
//
// Bidirectional copy-paste (Bai et al., CVPR 2023; METHODS 7.2), a labelled image a and an unlabelled b with
// a mask M, 0 inside a box and 1 outside:
//   in = b M + a (1 - M),   out = a M + b (1 - M)
// CutMix (Yun et al., ICCV 2019) as in AD-MT (METHODS 7.4), among unlabelled images:
//   x_i <- x_i M_i + x_pi(i) (1 - M_i),   pi a permutation, the box of M_i a square with its centre in
//   [H/8, H - 1] on each axis, cut at the border, of side floor(H sqrt(1 - lambda)), lambda ~ Beta(4,4), the
//   same for a batch
#pragma once
#include <vector>

#include "tensor/arena.h"
#include "tensor/random.h"

namespace patchcl {

// What is pasted into unlabelled images: nothing, CutMix's boxes, the square of a labelled image, either.
enum class Mix { none, cutmix, square, both };

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
// These with one weight everywhere.
LabeledImages weighted_alike(const Tensor& images, const Tensor& labels, double w);

struct Box {
  int64_t top, left, height, width;
};
// Two thirds of each side, anywhere.
Box random_box(int64_t height, int64_t width, Rng& rng);

// Any tensor (n,H,W,...) with the box of another one.
void paste(const Tensor& base, const Tensor& patch, const Box& box, const Tensor& to);

// The squares of CutMix, one for each of n images, and from which image each comes.
struct CutMix {
  std::vector<Box> boxes;
  std::vector<int64_t> partner;
  CutMix(int64_t n, int64_t height, int64_t width, Rng& rng);
  // Any tensor (n,H,W,...) on the host, cut likewise.
  Tensor operator()(const Tensor& x) const;
};
std::vector<Box> cut_mix_boxes(int64_t n, int64_t height, int64_t width, Rng& rng);
// UniMatch's (METHODS 7.5): with p 1/2 a box of 2 to 40 % of the area and an aspect of 0.3 to 3.33, wholly
// inside, else an empty one.
Box random_cut(int64_t height, int64_t width, Rng& rng);

// Row i of `to`: base[i] with the box of patch[i] pasted in. One box for all rows.
void paste(const LabeledImages& base, const LabeledImages& patch, const Box& box, const LabeledImages& to);
// Both directions: the first half of `to` is `in`, the second `out`, of the first rows of each side.
void exchange(
    const LabeledImages& labeled, const LabeledImages& unlabeled, const Box& box, const LabeledImages& to);
// Row i of `to`: base[i] with the box of a labelled image, the i-th as long as there are some, then again.
void paste_square(
    const LabeledImages& base, const LabeledImages& labeled, const Box& box, const LabeledImages& to);
void cut_mix(const LabeledImages& x, Rng& rng, const LabeledImages& to);
// Each image with the box of the one behind it.
void mix_among(const LabeledImages& x, const Box& box, const LabeledImages& to);

}  // namespace patchcl
