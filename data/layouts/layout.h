// Layout: what lies in a data folder, told the same way for every convention of the field.
//
//   SSL4MIS  train_slices.list, data/slices/*.h5 to train on; val.list, test.list, data/*.h5 to evaluate
//   ACDC     as its challenge ships it: patientNNN/patientNNN_frameMM.nii.gz with _gt, Info.cfg
//   MSD      dataset.json with "training" pairs, imagesTr/, labelsTr/: NIfTI volumes, each slice an item
//   nnU-Net  dataset.json with "channel_names", imagesTr/NAME_0000.nii.gz (or .png); splits_final.json
//   folders  images/ with masks/, split into train/, val/ and test/ or not, or image and mask side by side
//   phantom  "phantom" or "phantom:cases=40,size=96": generated, nothing on disk
//
// A layout only lists sources; nothing but headers and lists is read until a source is asked for its numbers.
// An image without a mask is unlabelled, wherever it lies.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "data/grid.h"
#include "data/layouts/label_map.h"

namespace patchcl {

// One file (or one file per channel) with its label: a slice, an image or a volume.
struct Source {
  std::string id;                       // "patient099_frame01_slice_15"
  std::string group;                    // what a labelled budget counts: the patient, the volume, the image
  std::string path, label_path;         // for messages, and for geometry when predicting
  std::vector<std::string> more_paths;  // of further channels
  int64_t depth = 1;                    // slices; height and width 0 when only reading would tell
  int64_t height = 0, width = 0;
  std::function<Grid()> image;  // read now; Error(data) naming the file
  std::function<Grid()> label;  // the same, as stored; empty: an unlabelled image
  bool labeled() const { return bool(label); }
};

// What a folder does not say of itself.
struct ReadOptions {
  std::string label_values = {}, label_colors = {};  // of LabelMap
  std::string group;            // regular expression: its first group (or all it matches) names the patient
  bool instance_masks = false;  // masks number objects (glands): 0 background, all others of one class
};

// nnU-Net's splits_final.json: ids or patients of each fold.
struct Fold {
  std::vector<std::string> train, validation;
};

enum class Split { train, validation, test };

struct Layout {
  std::string name;                             // "SSL4MIS", "MSD", ...
  std::vector<Source> train, validation, test;  // in list order; without validation, cases are held out
  std::vector<Fold> folds;                      // of the file that lists them, if there is one
  std::vector<std::string> class_names;         // "background" first; empty when only the labels tell
  bool volumes = true;    // slices of volumes (resized to the network) or tiles (cropped)
  bool pictures = false;  // masks are pictures: 0 and 255 alone are the usual way to write a binary one
  LabelMap labels;
  bool instance_masks = false;
  std::vector<std::string> notes;     // what was found and how it was read, for people
  std::vector<std::string> problems;  // what was found and left aside, though it may spoil a training

  // Whether the numbers of a mask stand for classes, and not its colours nor objects.
  bool numbers_are_classes() const { return !instance_masks && !labels.of_colors(); }
  const std::vector<Source>& of(Split split) const {
    if (split == Split::train) return train;
    return split == Split::test ? test : validation;
  }
};

// Throws Error(data) when `where` is missing, is no layout of the list above (naming what was seen), or
// misses a file that a list names; Error(usage) for options that cannot be read.
Layout open_layout(const std::string& where, const ReadOptions& options = {});

// Whether it is a phantom and no folder.
bool is_generated(const std::string& where);

// The class numbers of a labelled source, and those that the stored numbers of its mask mean.
Grid read_label(const Layout& layout, const Source& source);
Grid class_numbers(const Layout& layout, Grid stored, const std::string& path);
// The numbers of an instance mask. Error(data) naming `path` for what is no whole number or has colours.
std::vector<int32_t> object_numbers(const Grid& stored, const std::string& path);

// One function per convention, in layout_*.cpp. `dir` exists and is of that convention.
Layout ssl4mis_layout(const std::string& dir);
Layout acdc_layout(const std::string& dir);
Layout nifti_layout(const std::string& dir);
Layout folder_layout(const std::string& dir);
// Whether it is of that convention.
bool is_acdc(const std::string& dir);

// The lines of a list file without blanks, carriage returns, empty lines and a mark of UTF-8. Error(data)
// when it cannot be read.
std::vector<std::string> read_list(const std::string& path);

// "a, b, c and 7 more" of what lies in a folder, sorted.
std::string names_in(const std::string& dir);

// "patient099_frame01_slice_15" -> "patient099": the name up to "_frame" or "_slice_", or to a mark of the
// same kind with a number ("-slice12", "_slc_3", "_z007").
std::string patient_of(const std::string& id);

}  // namespace patchcl
