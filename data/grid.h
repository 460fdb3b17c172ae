// Grid: one array of numbers as a file stores it, before normalisation. What the readers of each format
// return.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace patchcl {

// Where a file says that its voxels lie in the body: the directions in which slice, row and column numbers
// grow, each of unit length, and the place of the first voxel in mm.
struct Frame {
  std::array<std::array<double, 3>, 3> axes{};
  std::array<double, 3> origin{};
};

struct Grid {
  int64_t depth = 1, height = 0, width = 0, channels = 1;
  std::vector<double> values;              // D*H*W*C; a double holds every stored type of the formats exactly
  double low = 0, high = 1;                // the values that become 0 and 1 in training
  bool stored_as_f32 = false;              // SSL4MIS's preparation then reckoned in f32 too
  std::array<double, 3> spacing{1, 1, 1};  // mm along (slice, row, column)
  bool spacing_known = false;              // else the file does not say, and 1 stands for it
  std::vector<std::array<uint8_t, 3>> palette;  // of a mask with one: the colours that its numbers stand for
  std::vector<Frame> frames;                    // NIfTI's sform and qform, those of them that the file gives

  int64_t numel() const { return depth * height * width * channels; }
  std::string size_text() const;  // "10 slices of 216x256", "522x775, 3 channels"
};

// Sets low and high to the smallest and largest finite value: min-max normalisation per volume (METHODS 4.1).
void set_range_to_extremes(Grid& grid);

}  // namespace patchcl
