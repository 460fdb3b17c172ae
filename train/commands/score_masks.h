// Masks for `patchcl score`: which belong together, and which class each of their numbers is.
#pragma once
#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "data/grid.h"
#include "data/layouts/label_map.h"
#include "train/evaluate/metrics.h"

namespace patchcl {

struct MaskPair {
  std::string id, reference, prediction;
};
// Two files, or the files of two folders by equal names. Error(data) for a reference without a prediction.
std::vector<MaskPair> mask_pairs(const std::string& reference, const std::string& prediction);

struct NumberedMask {
  std::vector<int32_t> values;
  MaskExtent extent;
  bool spacing_known = false;
};
using NumberedMasks = std::pair<NumberedMask, NumberedMask>;  // reference and prediction, on one grid

// The numbers as they are stored: of objects. Error(data) for what is no whole number or has colours, and
// for masks of different size, spacing or orientation (placement.h).
NumberedMasks read_numbers(const MaskPair& pair);

// What the numbers of predictions are where a map lists those of the references: `fit` is the one reading
// that all of them have.
enum class PredictionHolds { fit, classes, values };

// Masks of classes. All are read once beforehand, since only all of them tell what 255 means: class 1 where a
// side holds 0 and 255 alone.
class ClassMasks {
 public:
  // Without a map each number is a class. Error(data) naming the mask that looks like an image, Error(usage)
  // where the predictions can be read in two ways that differ.
  ClassMasks(const std::vector<MaskPair>& pairs, LabelMap labels, bool binary,
      PredictionHolds holds = PredictionHolds::fit);

  std::vector<std::string> names() const;  // of the classes but the background
  NumberedMasks read(const MaskPair& pair) const;

 private:
  bool are_listed(const std::vector<MaskPair>& pairs) const;
  NumberedMask as_classes(const Grid& stored, const std::string& path, bool listed) const;

  LabelMap labels_;
  bool binary_, prediction_listed_ = true, white_is_one_ = false;
  std::vector<int32_t> classes_;  // in rising order, the background first
};

}  // namespace patchcl
