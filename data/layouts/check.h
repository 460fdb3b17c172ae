// What `patchcl data check` finds: the shape of a data set and everything in it that would stop or spoil a
// training.
//
// Every source is read once; images without a label are counted. A problem is an error of training (a
// damaged file, NaN, a label outside the classes, image and mask of different size, spacing or orientation,
// an image of other channels, a mask without an image, masks that are missing or hold only background
// everywhere) or of its evaluation (a patient in two splits, a case named twice, a split without labels of a
// class). Slices without foreground are counted, not blamed: volumes have them.
#pragma once
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "data/layouts/layout.h"

namespace patchcl {

// Smallest and largest of what was seen.
struct Extent {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  void add(double v);
  std::string text() const;  // "216 to 256", "128", "-" when nothing was seen
};

struct SplitReport {
  int64_t sources = 0, groups = 0, slices = 0;
  int64_t unlabeled = 0;     // sources without a label
  int64_t empty_slices = 0;  // without a foreground pixel
  Extent depth, height, width, channels;
  Extent slice_mm, row_mm, column_mm;  // spacing
  Extent values;                       // as stored
  std::vector<int64_t> pixels;         // per class
};

struct DataReport {
  std::string layout;
  std::vector<std::string> class_names;  // named by the folder, or "class k" for those its labels hold
  SplitReport train, validation, test;
  std::vector<std::string> notes;  // how it was read
  std::vector<std::string> problems;
};

// Throws Error(data) when `where` is no data folder at all. `progress` is told how many sources are done, of
// how many.
DataReport check_data(const std::string& where, const ReadOptions& options = {},
    const std::function<void(int64_t, int64_t)>& progress = {});

}  // namespace patchcl
