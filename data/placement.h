// Placement: whether a mask lies on its image. Two arrays of one size may still be two grids: a mask that is
// stored flipped, with the affine that says so, is the mirrored one to who reads the array alone.
//
// Compared are spacing and the directions of the axes, not the origin, which tools often lose while voxels
// still match. A file that says nothing is taken to lie on its image:
//   - of another format than NIfTI, or a header without sform and qform and of 1x1x1 mm;
//   - a mask of 1x1x1 mm along the axes of the scanner with the origin at 0: what nibabel and ITK write where
//     nobody told them a geometry.
// A header without sform and qform that has another spacing is compared by its spacing.
#pragma once
#include <string>

#include "data/grid.h"

namespace patchcl {

// Of 1x1x1 mm, along the axes of the scanner with the origin at 0, or without frames.
bool is_left_as_made(const Grid& grid);

// Throws Error(data) naming both files, what they say and what to do where spacing differs by more than 2 %
// or no frame of the mask has the axes of one of the image's within 2 degrees; the slice axis of a single
// slice is not compared. Sizes are equal already.
void demand_same_placement(
    const Grid& image, const std::string& path, const Grid& mask, const std::string& mask_path);
// The same for two masks, either of which may be as it was made.
void demand_same_placement_of_masks(const Grid& reference, const std::string& reference_path,
    const Grid& prediction, const std::string& prediction_path);

}  // namespace patchcl
