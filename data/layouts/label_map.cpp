#include "data/layouts/label_map.h"

#include <algorithm>

#include "tensor/error.h"
#include "tensor/text.h"

namespace patchcl {

namespace {
std::vector<std::string> parts(const std::string& text, char separator) {
  std::vector<std::string> all;
  TextIn in(text);
  for (std::string part; std::getline(in, part, separator);) all.push_back(part);
  return all;
}

std::vector<double> numbers(const std::string& text, const std::string& option) {
  std::vector<double> all;
  for (const std::string& part : parts(text, ',')) {
    size_t used = 0;
    try {
      all.push_back(std::stod(part, &used));
    } catch (const std::exception&) {}
    if (used == 0 || part.find_first_not_of(' ', used) != std::string::npos)
      fail(ExitCode::usage, "data", "--", option, ": '", part, "' is no number");
  }
  return all;
}

// The class of a pixel; the number of classes where it is none of them. A grey pixel is a colour of three
// equal parts, and such a colour a grey value.
int64_t class_of(const LabelMap& map, const double* pixel, size_t channels) {
  const size_t n = map.entries.at(0).size();
  const auto is = [&](const std::vector<double>& entry) {
    for (size_t i = 0; i < std::max(n, channels); ++i)
      if (pixel[channels == 1 ? 0 : i] != entry[n == 1 ? 0 : i]) return false;
    return true;
  };
  return std::find_if(map.entries.begin(), map.entries.end(), is) - map.entries.begin();
}

// A mask with a palette as its colours, where the map is of colours.
Grid as_mapped(const Grid& stored, const LabelMap& map) {
  if (stored.palette.empty() || !map.of_colors()) return stored;
  Grid colors = stored;
  colors.channels = 3;
  colors.palette.clear();
  colors.values.clear();
  for (const double number : stored.values)
    for (size_t c = 0; c < 3; ++c)  // a number beyond the palette has no colour
      colors.values.push_back(
          size_t(number) < stored.palette.size() ? stored.palette[size_t(number)][c] : -1);
  return colors;
}
}  // namespace

LabelMap parse_label_map(const std::string& values, const std::string& colors) {
  if (!values.empty() && !colors.empty())
    fail(ExitCode::usage, "data", "--label-values and --label-colors say the same; give one of them");
  LabelMap map;
  const std::string option = colors.empty() ? "label-values" : "label-colors";
  if (colors.empty())
    for (const double v : numbers(values, option)) map.entries.push_back({v});
  for (const std::string& color : parts(colors, ';')) {
    map.entries.push_back(numbers(color, option));
    if (map.entries.back().size() != 3)
      fail(ExitCode::usage, "data", "--label-colors: '", color,
          "' is no colour; wants three numbers each, as in \"0,0,0;255,0,0\"");
  }
  const bool any = !values.empty() || !colors.empty();
  if (any && (map.classes() < 2 || map.classes() > 255))
    fail(ExitCode::usage, "data", "--", option, " names ", map.classes(), " classes; wants 2 to 255");
  for (auto at = map.entries.begin(); at != map.entries.end(); ++at)
    if (std::find(map.entries.begin(), at, *at) != at)
      fail(ExitCode::usage, "data", "--", option, " names ", listed(*at), " twice");
  return map;
}

bool covers(const LabelMap& map, const Grid& mask) {
  const Grid stored = as_mapped(mask, map);
  const size_t channels = size_t(stored.channels);
  for (size_t at = 0; at < stored.values.size(); at += channels)
    if (class_of(map, &stored.values[at], channels) == map.classes()) return false;
  return true;
}

Grid mapped(const Grid& mask, const LabelMap& map, const std::string& path) {
  const Grid stored = as_mapped(mask, map);
  const size_t n = map.entries.at(0).size(), channels = size_t(stored.channels);
  Grid out = stored;
  out.channels = 1;
  out.values.clear();
  for (size_t at = 0; at < stored.values.size(); at += channels) {
    const double* const pixel = &stored.values[at];
    const int64_t found = class_of(map, pixel, channels);
    if (found == map.classes())
      fail(ExitCode::data, "data", path, ": ",
          listed(std::vector<double>(pixel, pixel + std::min<size_t>(channels, 3))),
          " in a mask is not among the ", map.classes(), " of --label-", n == 1 ? "values" : "colors");
    out.values.push_back(double(found));
  }
  return out;
}

}  // namespace patchcl
