// What a reader returns: images with their labels and geometry, on the host, in (slice, row, column, channel)
// order.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace patchcl {

// One case: a volume of D slices, or a single 2-D image with D = 1.
struct Volume {
  std::string id;                            // "patient002_frame01", the name in tables and file names
  int64_t depth = 0, height = 0, width = 0;  // D, H, W
  int64_t channels = 1;                      // 1 grey, 3 colour
  std::vector<float> image;                  // D*H*W*C, normalised to [0,1] per volume
  std::vector<uint8_t> label;                // D*H*W, classes 0..K-1; empty when there is none
  std::vector<int32_t> objects;              // D*H*W, the object of each pixel; empty when masks number none
  std::array<double, 3> spacing{1, 1, 1};    // mm along (slice, row, column)
  bool spacing_known = false;                // else the file does not say, and 1 stands for it
  std::string source;  // path it came from: geometry is copied from there when predicting
  int64_t slice_pixels() const { return height * width; }
};

}  // namespace patchcl
