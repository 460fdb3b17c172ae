// The teacher's view of a patch (METHODS 1.6): intensities change before the confidence is multiplied in, so
// that what the model masked out stays black; flips and crops move the product.
//
// Horizontal flip with p 0.7; with p 0.5 a crop of up to 20 % on each side, resized back; then each with p
// 0.5: Gaussian noise of sigma up to 0.05, linear contrast and brightness with factors in 0.5 .. 1.5, clamped
// to [0,1]. Left out for grey images: hue, saturation, greyscale blending.
#pragma once
#include "train/methods/patch_sampler.h"

namespace patchcl {

// Where an output pixel reads from on one axis: the crop, resized to `side` with nearest neighbours, maybe
// mirrored.
struct ViewAxis {
  int64_t side, begin, extent;
  bool mirror;
  HD int64_t operator()(int64_t i) const { return begin + (mirror ? side - 1 - i : i) * extent / side; }
};

// One view, everything drawn: a function of pixels from here on, the same on the CPU and on the GPU.
struct PatchView {
  double noise, contrast, brightness;
  uint64_t seed, step, first_draw;  // of the noise: two draws for each number of the window
  uint32_t site;
  ViewAxis row, column;

  // Intensity x, number `element` of the window.
  HD float changed(float x, int64_t element) const {
    double v = ((double(x) - 0.5) * contrast + 0.5) * brightness;
    if (noise > 0) v += noise * random_normal(seed, step, site, first_draw + 2 * uint64_t(element));
    v = v < 0 ? 0 : v;
    return float(v > 1 ? 1 : v);
  }
  HD float pixel(
      const PatchImages& b, const Patch& p, int64_t r, int64_t c, int64_t channel, bool attended) const {
    const int64_t y = row(r), x = column(c), m = (p.image * b.height + p.top + y) * b.width + p.left + x;
    const float seen = changed(b.images[m * b.channels + channel], (y * row.side + x) * b.channels + channel);
    return seen * (attended ? b.confidence[m * b.classes + p.label] : 1);
  }
};
PatchView draw_view(int64_t side, int64_t channels, Rng& rng);
// One for each of n patches, in order.
std::vector<PatchView> draw_views(size_t n, int64_t side, int64_t channels, Rng& rng);

// Each patch as it is and in its view, f32 (n,side,side,C) on the batch's device.
void cut_patches(
    const PatchImages& batch, const std::vector<Patch>& patches, bool attended, const Tensor& out);
void view_patches(const PatchImages& batch, const std::vector<Patch>& patches,
    const std::vector<PatchView>& views, bool attended, const Tensor& out);
CUDA_ONLY(void cut_patches_cuda(
    const PatchImages& batch, const std::vector<Patch>& patches, bool attended, const Tensor& out);
          void view_patches_cuda(const PatchImages& batch, const std::vector<Patch>& patches,
              const std::vector<PatchView>& views, bool attended, const Tensor& out);)

}  // namespace patchcl
