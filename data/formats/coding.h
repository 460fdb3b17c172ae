// How the numbers of a case become the pixels of PNG files and come back; see data/layouts/convert.h.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace patchcl {

struct Coding {
  double first = 0, divisor = 1;  // value = (first + index) / divisor, unless there are levels
  std::vector<double> levels;
  int64_t indices = 0;  // index < indices
  bool exact = true;

  int bits() const { return indices <= 256 ? 8 : 16; }
  int64_t step() const { return indices <= 1 ? 1 : ((int64_t(1) << bits()) - 1) / (indices - 1); }
  double value(int64_t index) const {
    return levels.empty() ? (first + double(index)) / divisor : levels[size_t(index)];
  }
};

// The first coding of the list in convert.h that gives back every value; NaN and infinity have none:
// Error(data).
Coding choose_coding(const std::vector<double>& values, const std::string& path);
// Pixels of `values`: the index whose value is nearest, times step().
std::vector<uint16_t> encode(const Coding& coding, const std::vector<double>& values);
// The way back, in place. Throws Error(data) naming `path` for a pixel that `coding` does not know.
void decode(const Coding& coding, std::vector<double>& pixels, const std::string& path);

nlohmann::json to_json(const Coding& coding);
Coding coding_from_json(const nlohmann::json& j);

}  // namespace patchcl
