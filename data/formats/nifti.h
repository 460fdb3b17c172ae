// NIfTI-1 volumes (.nii, .nii.gz). libnifti gives the header's layout and byte order; magic, axes, type,
// offset and what the header claims are checked against the file before memory is taken for it. Orientation
// stays as stored: the file's fastest axis is the column, the second the row, the third the slice, the fourth
// the channel. Without the library (NIFTI=0) the functions throw Error(data) that says so.
#pragma once
#include <span>
#include <string>

#include "data/grid.h"

namespace patchcl {

// Sizes, spacing (in mm, whatever the file's unit) and frames only, values left empty. A header of 1x1x1 that
// names no unit and that nobody gave a geometry (placement.h) says nothing of the spacing.
Grid read_nifti_header(const std::string& path);
// Values with slope and intercept applied, low and high at the extremes.
Grid read_nifti(const std::string& path);
// The same from memory; `name` is what messages call it.
Grid read_nifti(std::span<const uint8_t> bytes, const std::string& name);

enum class NiftiType { u8, i16, u16, i32, f32, f64 };
// The type that holds all of `grid` exactly, the smallest that does.
NiftiType exact_type(const Grid& grid);
// Geometry (orientation, units, spacing, two axes or three) is copied from the header of `like`, which must
// have the same size; when `like` is empty, grid.spacing is written.
void write_nifti(const std::string& path, const Grid& grid, NiftiType type, const std::string& like = "");

}  // namespace patchcl
