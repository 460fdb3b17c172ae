// MaskValues: which values the masks of a data set hold and where, to tell classes from a stray value and
// from numbered objects.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "data/grid.h"

namespace patchcl {

class MaskValues {
 public:
  // A mask as it is stored. Error(data) naming `path` for colours and for what is no whole number below 256.
  void add(const Grid& stored, const std::string& path);

  std::vector<uint8_t> seen() const;  // each once, ascending
  bool black_and_white() const { return seen() == std::vector<uint8_t>{0, 255}; }
  // Error(data) with the option that helps and the masks of the rarest values when these are not 0..K-1.
  // Where there are too many to be classes, as smoothed edges have them, it says so instead.
  void demand_class_numbers() const;
  // What to say of masks whose values seem to number objects; empty where they do not.
  std::string note_on_objects() const;

 private:
  struct HeldValue {
    int64_t pixels = 0, masks = 0;
    std::vector<std::string> paths;  // of the first masks
  };
  std::string rarest() const;
  [[noreturn]] void refuse_grey() const;

  std::array<HeldValue, 256> held_;
  std::string fullest_;               // the mask of the most values
  int most_ = 0;                      // its values
  int64_t numbers_ = 0, pieces_ = 0;  // of the masks that hold several values
};

}  // namespace patchcl
