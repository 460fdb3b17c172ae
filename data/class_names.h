// The names of classes, the background's first.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace patchcl {

// Of ACDC's masks, as every copy of that data set numbers them.
inline const std::vector<std::string> kAcdcClasses{"background", "RV", "Myo", "LV"};

// The name of class k, also of one that has none.
inline std::string class_name(const std::vector<std::string>& names, int64_t k) {
  if (k < int64_t(names.size())) return names[size_t(k)];
  return k == 0 ? "background" : "class " + std::to_string(k);
}

// Those that there are, and made-up ones behind them up to so many.
inline std::vector<std::string> named_up_to(std::vector<std::string> names, int64_t classes) {
  while (int64_t(names.size()) < classes) names.push_back(class_name({}, int64_t(names.size())));
  return names;
}

}  // namespace patchcl
