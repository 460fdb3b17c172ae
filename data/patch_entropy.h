// Average patch entropy (METHODS 1.3): how sure the model is about a class inside each window of an image.
//
//   h(m)   = -( C(m) log2 C(m) + (1 - C(m)) log2(1 - C(m)) ),   C the confidence of the class at pixel m, 0 log 0 = 0
//   Hbar_r = mean of h over window r,   Cbar_r = mean of C over window r
// Low Hbar: the window is confidently inside or confidently outside the class; Cbar tells which.
// Instead of C the attended image X C can be asked (the derivative paper's reading of the formula). Window means come
// from a summed-area table, so they cost the same for any side and stride.
#pragma once
#include <cstdint>
#include <vector>

namespace patchcl {

// Square windows on an image: corners every `stride` pixels, the last row and column aligned to the border.
struct WindowGrid {
  // Throws Error(usage) when the side exceeds the image or a number is not positive.
  WindowGrid(int64_t height, int64_t width, int64_t side, int64_t stride);
  int64_t count() const { return rows * cols; }
  int64_t top(int64_t window) const;
  int64_t left(int64_t window) const;

  int64_t height, width, side, stride, rows, cols;
};

// A batch on the host, as patches are cut from it.
struct PatchImages {
  int64_t n = 0, height = 0, width = 0, channels = 1, classes = 0;
  const float* images = nullptr;      // (n,H,W,C) in [0,1]
  const float* confidence = nullptr;  // (n,H,W,K): teacher softmax, or one-hot labels
  int64_t pixels() const { return height * width; }
};

enum class EntropyOf { confidence, attended_image };

// Binary entropy of p in [0,1], base 2: 1 at 0.5, exactly 0 at 0 and 1.
float binary_entropy(float p);

// h for one class of one image, (H,W).
std::vector<float> entropy_map(const PatchImages& batch, int64_t image, int64_t k, EntropyOf of);
// C for one class of one image, (H,W).
std::vector<float> confidence_map(const PatchImages& batch, int64_t image, int64_t k);

// Mean of map (H,W) over every window of the grid.
std::vector<float> window_means(const std::vector<float>& map, const WindowGrid& grid);

}  // namespace patchcl
