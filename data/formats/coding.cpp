#include "data/formats/coding.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "tensor/error.h"

namespace patchcl {

namespace {

constexpr int64_t kIndices = 65536;
constexpr int64_t kLargestDivisor = 65535;

// Values in order, each once.
std::vector<double> distinct(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
  return values;
}

// True when (k / divisor) is each of `values` to the last bit for some whole number k.
bool divides(double divisor, const std::vector<double>& values) {
  return std::all_of(
      values.begin(), values.end(), [divisor](double v) { return std::round(v * divisor) / divisor == v; });
}

bool as_fractions(const std::vector<double>& values, Coding& c) {
  for (int64_t divisor = 1; divisor <= kLargestDivisor; ++divisor) {
    const double first = std::round(values.front() * double(divisor)),
                 last = std::round(values.back() * double(divisor));
    if (last - first >= double(kIndices)) return false;  // and larger divisors need more indices still
    if (!divides(double(divisor), values)) continue;
    c.first = first;
    c.divisor = double(divisor);
    c.indices = int64_t(last - first) + 1;
    return true;
  }
  return false;
}

int64_t index_of(const Coding& c, double v) {
  if (c.levels.empty()) return std::clamp<int64_t>(std::llround(v * c.divisor - c.first), 0, c.indices - 1);
  return std::lower_bound(c.levels.begin(), c.levels.end(), v) - c.levels.begin();
}

}  // namespace

Coding choose_coding(const std::vector<double>& values, const std::string& path) {
  for (const double v : values)
    if (!std::isfinite(v))
      fail(ExitCode::data, "data", path, ": holds ", v, "; repair the image or take it out of the list");
  Coding c;
  std::vector<double> levels = distinct(values);
  if (levels.empty()) fail(ExitCode::data, "data", path, ": no pixels");
  if (as_fractions(levels, c)) return c;
  c.indices = std::min(kIndices, int64_t(levels.size()));
  if (int64_t(levels.size()) <= kIndices) {
    c.levels = std::move(levels);
    return c;
  }
  c.divisor = double(kIndices - 1) / (levels.back() - levels.front());
  c.first = levels.front() * c.divisor;
  c.exact = false;
  return c;
}

std::vector<uint16_t> encode(const Coding& coding, const std::vector<double>& values) {
  std::vector<uint16_t> pixels;
  pixels.reserve(values.size());
  for (const double v : values) pixels.push_back(uint16_t(index_of(coding, v) * coding.step()));
  return pixels;
}

void decode(const Coding& coding, std::vector<double>& pixels, const std::string& path) {
  for (double& p : pixels) {
    const int64_t index = int64_t(p) / coding.step();
    if (index >= coding.indices || index * coding.step() != int64_t(p))
      fail(ExitCode::data, "data", path, ": pixel ", p, " is none of the ", coding.indices,
          " that patchcl.json knows; was the file edited?");
    p = coding.value(index);
  }
}

nlohmann::json to_json(const Coding& c) {
  nlohmann::json j{{"indices", c.indices}, {"exact", c.exact}};
  if (!c.levels.empty()) {
    j["levels"] = c.levels;
    return j;
  }
  j["first"] = c.first;
  j["divisor"] = c.divisor;
  return j;
}

Coding coding_from_json(const nlohmann::json& j) {
  Coding c;
  c.indices = j.at("indices").get<int64_t>();
  c.exact = j.at("exact").get<bool>();
  if (j.contains("levels")) {
    c.levels = j.at("levels").get<std::vector<double>>();
  } else {
    c.first = j.at("first").get<double>();
    c.divisor = j.at("divisor").get<double>();
  }
  const bool fits =
      c.indices >= 1 && c.indices <= kIndices && (c.levels.empty() || int64_t(c.levels.size()) == c.indices);
  if (!fits || !(c.divisor > 0))
    fail(ExitCode::data, "data", "a coding of ", c.indices, " indices, ", c.levels.size(),
        " levels and divisor ", c.divisor, " makes no sense");
  return c;
}

}  // namespace patchcl
