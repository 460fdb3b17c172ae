// Which windows become patches of a class (METHODS 1.3, 1.4 and 1.12).
//
// All windows of all images of the batch are candidates for class k. Each gets one parity b: positive for k
// or not, Bernoulli(Cbar) or Cbar > 1/2; what is positive must pass the area filter; then n patches are
// drawn, with replacement or without, with probability proportional to the weight of their window:
//   entropy     max(1 - Hbar, 1e-3)            uniform      1
//   confidence  Cbar, or 1 - Cbar for b = 0      cosine       max(cos(window, mean positive window), 1e-3)
//   sure        Cbar max(1 - Hbar, 1e-3): METHODS 1.13, V5
//   top_k       1 for the k largest entropy weights of each image, of equals those that are drawn, else 0
//   boxes       1, but the candidates are windows on the boxes of the class's components instead of the grid
// A class without a candidate yields no patch. Everything is a function of the Rng.
#pragma once
#include <string>

#include "train/methods/area_filter.h"
#include "train/methods/patch_entropy.h"
#include "tensor/random.h"
#include "train/options/option_list.h"

namespace patchcl {

enum class Sampling { entropy, uniform, confidence, sure, cosine, top_k, boxes };
enum class Parity { bernoulli, threshold };

struct PatchOptions {
  // 0: a quarter of the image in multiples of what the encoder wants, and half a side.
  int64_t side = 0, stride = 0;
  Sampling sampling = Sampling::entropy;
  Parity parity = Parity::bernoulli;
  EntropyOf entropy_of = EntropyOf::confidence;
  int64_t top_k = 50;
  bool replacement = true;       // false: no window twice for one class and step
  bool near_foreground = false;  // windows of background hold a pixel whose likeliest class is another
  bool labeled_only = false;     // METHODS 1.13: whether pseudo-labels add anything

  void declare(OptionList& options);
  // Error(usage) for a side that the encoder or the image cannot take.
  void resolve(int64_t image_side, int64_t multiple);
};

struct Patch {
  int64_t image = 0, top = 0, left = 0;
  int64_t label = 0;                  // the class k that it was drawn for
  bool positive = true;               // of class k, or b = 0: what the model says is not k
  float entropy = 0, confidence = 0;  // Hbar, Cbar
};

// The classes that these were drawn for.
inline std::vector<int32_t> classes_of(const std::vector<Patch>& patches) {
  std::vector<int32_t> classes;
  for (const Patch& p : patches) classes.push_back(int32_t(p.label));
  return classes;
}

// These options read the pixels of windows, not only their means.
inline bool looks_at_pixels(const PatchOptions& o) {
  return o.sampling == Sampling::cosine || o.sampling == Sampling::boxes || o.near_foreground;
}

// Hbar and Cbar of the windows that the options ask for.
WindowStatistics window_statistics(const PatchImages& batch, const PatchOptions& options);
// Every window with its parity, before filter and draw.
std::vector<Patch> candidates(const PatchImages& batch, const WindowStatistics& statistics, int64_t k,
    const PatchOptions& options, Rng& rng);
// The sampling weight of each candidate, relative.
std::vector<double> sampling_weights(
    const PatchImages& batch, const std::vector<Patch>& windows, const PatchOptions& options, Rng& rng);
// n indices into the weights; none when all weights are 0. Without replacement an index comes once, and fewer
// than n come where fewer have a weight.
std::vector<size_t> draw_categorical(
    std::vector<double> weights, int64_t n, Rng& rng, bool replacement = true);

struct SampledPatches {
  std::vector<Patch> positive;  // `count` of them, class by class; none when no class has a candidate
  std::vector<Patch>
      negative;  // as many windows that are not of the class: for pictures and image-level negatives
};
// The balanced budget of METHODS 1.6: every class that has candidates gets an equal share of `count`.
SampledPatches sample_patches(
    const PatchImages& batch, int64_t count, const PatchOptions& options, AreaFilter& filter, Rng& rng);

// Windows on the boxes of class k's components in one image (released extraction, corrected: each axis
// clamped to the image, overlaps suppressed per image). For background, k = 0: a grid of disjoint windows.
std::vector<Patch> box_windows(const PatchImages& batch, int64_t image, int64_t k, int64_t side);

// Pixel (r, c) of the window of the attended image x C^k, or of x alone.
HD inline float patch_pixel(
    const PatchImages& b, const Patch& p, int64_t r, int64_t c, int64_t channel, bool attended) {
  const int64_t m = (p.image * b.height + p.top + r) * b.width + p.left + c;
  return b.images[m * b.channels + channel] *
         (attended ? b.confidence[m * b.classes + p.label] : 1);  // EQ: 1.3 patch of the attended image
}
// The whole window, of a batch on the host: (side,side,C) into `out`.
void cut_patch(const PatchImages& batch, const Patch& patch, int64_t side, bool attended, float* out);

}  // namespace patchcl
