// From classes to objects (METHODS 9.5): the components of a label map, numbered.
//
//   components below a least size vanish; what is left is numbered from 1 in the order of first pixels;
//   objects grow into a border class, which keeps touching objects apart, ring by ring;
//   a hole, background that 4-connected steps do not lead out of, goes to the object around it. A hole that
//   several objects enclose stays.
#pragma once
#include <cstdint>
#include <vector>

namespace patchcl {

struct ObjectOptions {
  int64_t least = 100;  // pixels of an object, before it grows
  bool fill_holes = true;
  int border_class = 0;      // 0: there is none
  int64_t border_width = 3;  // pixels that an object grows into the border class
};

// labels (H,W), 0 = background -> the number of each pixel's object, 0 = none. Objects are 8-connected and of
// one class.
std::vector<int32_t> number_objects(
    const uint8_t* labels, int64_t height, int64_t width, const ObjectOptions& options);

// The border class that a network learns (METHODS 9.5): pixels of an object from which
// `width` steps, diagonal ones too, lead to a pixel of another number. The image's own edge is no border.
void mark_border(uint8_t* labels, const int32_t* numbers, int64_t height, int64_t width_of_image,
    int64_t width, uint8_t border_class);
// And away with it: its pixels go to the class of the object that grows into them, or to the background.
void grow_over_border(
    uint8_t* labels, int64_t height, int64_t width_of_image, int64_t width, uint8_t border_class);

}  // namespace patchcl
