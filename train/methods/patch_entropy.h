// Average patch entropy (METHODS 1.3): how sure the model is about a class inside each window of an image.
//
//   h(m)   = -( C(m) log2 C(m) + (1 - C(m)) log2(1 - C(m)) ),   0 log 0 = 0
//   Hbar_r = mean of h over window r,   Cbar_r = mean of C over window r
// where C(m) is the confidence of the class at pixel m.
// Low Hbar: the window is confidently inside or confidently outside the class; Cbar tells which. Instead of C
// the attended image X C can be asked (the derivative paper's reading of the formula). Window means come from
// a summed-area table, so they cost the same for any side and stride.
#pragma once
#include <math.h>  // log2(float) in the global namespace

#include <cstdint>
#include <vector>

#include "tensor/arena.h"
#include "tensor/hd.h"

namespace patchcl {

// Square windows on an image: corners every `stride` pixels, the last row and column aligned to the border.
struct WindowGrid {
  // Throws Error(usage) when the side exceeds the image or a number is not positive.
  WindowGrid(int64_t height, int64_t width, int64_t side, int64_t stride);
  int64_t count() const { return rows * cols; }
  HD int64_t top(int64_t window) const { return clamped(window / cols * stride, height - side); }
  HD int64_t left(int64_t window) const { return clamped(window % cols * stride, width - side); }
  HD static int64_t clamped(int64_t at, int64_t most) { return at < most ? at : most; }

  int64_t height, width, side, stride, rows, cols;
};

// A batch as patches are cut from it: on the host, or on the GPU.
struct PatchImages {
  int64_t n = 0, height = 0, width = 0, channels = 1, classes = 0;
  const float* images = nullptr;      // (n,H,W,C) in [0,1]
  const float* confidence = nullptr;  // (n,H,W,K): teacher softmax, or one-hot labels
  // Set: the two lie in GPU memory, and what is computed from them finds room in this arena. Windows are then
  // found and cut there; the samplers `cosine` and `boxes` look at pixels and want the host.
  const Arena* gpu = nullptr;
  HD int64_t pixels() const { return height * width; }
};

// What labels say as confidence: 1 for the class of a pixel, 0 for the others and for labels outside the
// classes. u8 (n,H,W) -> f32 (n,H,W,K) on the same device.
void one_hot(const Tensor& labels, const Tensor& confidence);

enum class EntropyOf { confidence, attended_image };

// Binary entropy of p in [0,1], base 2: 1 at 0.5, exactly 0 at 0 and 1.
HD inline float binary_entropy(float p) {
  if (!(p > 0 && p < 1)) return 0;
  return -(p * ::log2(p) + (1 - p) * ::log2(1 - p));  // EQ: 1.3 pixel entropy h
}

// h at one pixel m (counted over all images) for class k.
HD inline float pixel_entropy(const PatchImages& b, int64_t m, int64_t k, EntropyOf of) {
  float c = b.confidence[m * b.classes + k];
  if (of == EntropyOf::attended_image) {
    float intensity = 0;
    for (int64_t channel = 0; channel < b.channels; ++channel)
      intensity += b.images[m * b.channels + channel] / float(b.channels);
    c *= intensity;  // EQ: 1.3 attended image X' = X C
  }
  return binary_entropy(c);
}

// h for one class of one image, (H,W).
std::vector<float> entropy_map(const PatchImages& batch, int64_t image, int64_t k, EntropyOf of);
// C for one class of one image, (H,W).
std::vector<float> confidence_map(const PatchImages& batch, int64_t image, int64_t k);

// Mean of map (H,W) over every window of the grid.
std::vector<float> window_means(const std::vector<float>& map, const WindowGrid& grid);

// Hbar and Cbar of all windows, (n,K,windows), on the host wherever the batch is.
struct WindowStatistics {
  int64_t classes, windows;
  std::vector<float> entropy, confidence;
  size_t index(int64_t image, int64_t k, int64_t window) const {
    return size_t((image * classes + k) * windows + window);
  }
};
WindowStatistics window_statistics(const PatchImages& batch, const WindowGrid& grid, EntropyOf of);

// The two on the GPU (patch_entropy.cu).
CUDA_ONLY(void one_hot_cuda(const Tensor& labels, const Tensor& confidence); void window_statistics_cuda(
    const PatchImages& batch, const WindowGrid& grid, EntropyOf of, WindowStatistics& to);)

}  // namespace patchcl
