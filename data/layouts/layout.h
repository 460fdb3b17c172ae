// Layout: what lies in a data folder, told the same way for every convention of the field.
//
//   SSL4MIS  train_slices.list, val.list, data/slices/*.h5 to train on, data/*.h5 to validate
//   MSD      dataset.json with "training" pairs, imagesTr/, labelsTr/: NIfTI volumes, each slice an item
//   nnU-Net  dataset.json with "channel_names", imagesTr/NAME_0000.nii.gz; splits_final.json optional
//   images   images/ with masks/, labels/ or annotations/ of equal stem; train.list, val.list optional
//   phantom  "phantom" or "phantom:cases=40,size=96": generated, nothing on disk
//
// A layout only lists sources; nothing but headers and lists is read until a source is asked for its numbers.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "data/grid.h"

namespace patchcl {

// One file (or one file per channel) with its label: a slice, an image or a volume.
struct Source {
  std::string id;                // "patient099_frame01_slice_15"
  std::string group;             // what a labelled budget counts: the patient, the volume, the image
  std::string path, label_path;  // for messages, and for geometry when predicting
  int64_t depth = 1;             // slices; height and width 0 when only reading would tell
  int64_t height = 0, width = 0;
  std::function<Grid()> image, label;  // read now; Error(data) naming the file
};

struct Layout {
  std::string name;                       // "SSL4MIS", "MSD", ...
  std::vector<Source> train, validation;  // in list order; validation may be empty: cases are then held out
  std::vector<std::string> class_names;   // "background" first; empty when only the labels tell
  bool volumes = true;                    // slices of volumes (resized to the network) or tiles (cropped)
};

// Throws Error(data) when `where` is missing, is no layout of the list above, or misses a file that a list
// names.
Layout open_layout(const std::string& where);

// One function per convention, in layout_*.cpp. `dir` exists and is of that convention.
Layout ssl4mis_layout(const std::string& dir);
Layout nifti_layout(const std::string& dir);
Layout image_layout(const std::string& dir);

// The lines of a list file without blanks, carriage returns and empty lines. Error(data) when it cannot be
// read.
std::vector<std::string> read_list(const std::string& path);

// "patient099_frame01_slice_15" -> "patient099": the name up to "_frame" or "_slice_".
std::string patient_of(const std::string& id);

}  // namespace patchcl
