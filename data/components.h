// Connected components of a label map: regions of one foreground class, 8-connected in an image and
// 26-connected in a volume. Used to refine pseudo-labels (the largest component of each class stays) and to
// place patches on boxes.
#pragma once
#include <cstdint>
#include <vector>

namespace patchcl {

struct Component {
  uint8_t label = 0;
  int64_t pixels = 0;
  int64_t top = 0, left = 0, bottom = 0, right = 0;  // the box: rows [top, bottom), columns [left, right)
};

struct Components {
  std::vector<int32_t> id;      // (D,H,W): index into list, -1 for background
  std::vector<Component> list;  // in order of their first pixel
};

// labels (D,H,W), 0 = background.
Components find_components(const uint8_t* labels, int64_t height, int64_t width, int64_t depth = 1);

// Sets to background what is not in the largest component of its class; of equals the first stays.
void keep_largest_components(uint8_t* labels, int64_t height, int64_t width, int64_t depth = 1);

}  // namespace patchcl
