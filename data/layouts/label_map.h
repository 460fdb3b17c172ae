// LabelMap: what the stored values or colours of a mask mean. The first is class 0, the second class 1 ...
//
//   --label-values 0,128,255             grey masks: 0 background, 128 class 1, 255 class 2
//   --label-colors "0,0,0;255,0,0"       coloured masks: black background, red class 1
#pragma once
#include <string>
#include <vector>

#include "data/grid.h"

namespace patchcl {

struct LabelMap {
  std::vector<std::vector<double>> entries;  // one value or three of each class
  bool empty() const { return entries.empty(); }
  int64_t classes() const { return int64_t(entries.size()); }
};

// Either text may be empty. Error(usage) for both, and for a list that cannot be read or names one twice.
LabelMap parse_label_map(const std::string& values, const std::string& colors);

// Whether every pixel is in the map.
bool covers(const LabelMap& map, const Grid& stored);

// Class numbers, one channel. Error(data) naming `path` for what is not in the map.
Grid mapped(const Grid& stored, const LabelMap& map, const std::string& path);

}  // namespace patchcl
