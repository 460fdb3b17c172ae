// Palettes: what the colours of masks with a palette mean must be one thing for all of a data set. A mask
// holds the numbers of its palette's entries, and programs that save one often make a palette of their own
// for each file: 1 is red in one and green in the next.
#pragma once
#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "data/grid.h"

namespace patchcl {

class Palettes {
 public:
  // A mask as it is stored. Error(data), naming both files, colours and the option that helps, where a number
  // that it holds has another colour than in a mask before.
  void add(const Grid& stored, const std::string& path);

 private:
  using Color = std::array<uint8_t, 3>;
  std::string colors_with(const Grid& stored) const;
  static std::string text_of(const Color& color);

  // By their number, with the first mask that holds it.
  std::map<int, std::pair<Color, std::string>> entries_;
};

}  // namespace patchcl
