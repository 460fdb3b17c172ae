// Files to numbers and back, whatever the format: .h5 (SSL4MIS), .nii and .nii.gz (NIfTI), .png, .jpg, .bmp,
// .tif.
//
// A damaged, truncated or contradictory file is an Error(data) that names it; a file that cannot be written
// an Error(io). Labels are whole numbers 0..255; a Dataset demands that they lie within its classes.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "data/grid.h"
#include "data/volume.h"

namespace patchcl {

enum class Format { h5, nifti, image };
// By extension. Throws Error(data) naming the extensions that are known, and dcm2niix for DICOM.
Format format_of(const std::string& path);
bool is_readable(const std::string& path);  // has one of these extensions
// By extension, or by the mark of a file without a known one.
bool is_dicom(const std::string& path);
// Whether an entry of a folder is a file, not a hidden one, and of a name that is wanted. Error(data) for one
// that is a link to nothing.
bool is_wanted_file(const std::filesystem::directory_entry& entry, bool (*wanted)(const std::string& path));
// "imagesTr/hippocampus_001.nii.gz" -> "hippocampus_001".
std::string stem_of(const std::string& path);

// `array` names the data set inside an .h5 file and is ignored for other formats. low and high are set as
// training wants them: 0 and 1 for an .h5 that is normalised already, 0 and 255 for 8-bit images, else the
// extremes.
Grid read_grid(const std::string& path, const std::string& array = "image");

// An image as training and predictions take it: read_grid, and the channels of NIfTI each in [0,1].
Grid read_image_grid(const std::string& path);
// Each channel to [0,1] by its own extremes: modalities of one case have scales of their own.
void normalize_channels(Grid& grid);
// (v - low) / (high - low) as float. Throws Error(data) naming `path` and the position of a NaN or infinity.
std::vector<float> normalized(const Grid& image, const std::string& path);
// What a folder's images and masks end in; a .h5 holds both.
inline constexpr const char* kPictureEndings = ".png .jpg .jpeg .bmp .tif .tiff .nii .nii.gz";
// More numbers or colours than this are those of an image, unless an option lists them.
inline constexpr size_t kMostClasses = 32;
// Throws Error(data) naming `path` and its colours when the channels of a mask differ.
void demand_grey(const Grid& mask, const std::string& path);
// Throws Error(data) naming `path` when a value is no whole number in 0..255, or a mask is coloured.
std::vector<uint8_t> to_label(const Grid& label, const std::string& path);
// Image and label as one case. Throws Error(data) naming both files when they differ in size, spacing or
// orientation (placement.h). `label` may be null.
Volume to_volume(const std::string& id, const std::string& path, const Grid& image, const Grid* label,
    const std::string& label_path);

// One file as a case, with the label that an .h5 may hold: the input of `patchcl predict`. For NIfTI and
// images the label is empty.
Volume read_volume(const std::string& path);

// Error(usage) for a name whose ending write_label knows no format for, or one that holds no volume of so
// many slices.
void demand_mask_name(const std::string& path, int64_t depth = 1);
// Writes class numbers (D*H*W) to `path`, format by extension. NIfTI copies geometry and orientation from the
// header of source.source when that is NIfTI, and takes source.spacing otherwise. An .h5 gets one data set
// "label". PNG holds the class numbers themselves and one slice only.
void write_label(const std::string& path, const std::vector<uint8_t>& label, const Volume& source);

}  // namespace patchcl
