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

template <class T> std::string listed(const std::vector<T>& values) {
  TextOut s;
  for (size_t i = 0; i < values.size(); ++i) s << (i ? "," : "") << +values[i];
  return s.str();
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

Grid mapped(const Grid& stored, const LabelMap& map, const std::string& path) {
  const size_t n = map.entries.at(0).size(), channels = size_t(stored.channels);
  Grid out = stored;
  out.channels = 1;
  out.values.clear();
  // A grey pixel is a colour of three equal parts, and such a colour a grey value.
  const auto part = [&](const double* pixel, size_t i) { return pixel[channels == 1 ? 0 : i]; };
  for (size_t at = 0; at < stored.values.size(); at += channels) {
    const double* const pixel = &stored.values[at];
    const auto is = [&](const std::vector<double>& entry) {
      for (size_t i = 0; i < std::max(n, channels); ++i)
        if (part(pixel, i) != entry[n == 1 ? 0 : i]) return false;
      return true;
    };
    const auto found = std::find_if(map.entries.begin(), map.entries.end(), is);
    if (found == map.entries.end())
      fail(ExitCode::data, "data", path, ": ",
          listed(std::vector<double>(pixel, pixel + std::min<size_t>(channels, 3))),
          " in a mask is not among the ", map.classes(), " of --label-", n == 1 ? "values" : "colors");
    out.values.push_back(double(found - map.entries.begin()));
  }
  return out;
}

void demand_class_numbers(const std::vector<uint8_t>& seen, const std::string& where) {
  if (seen.empty() || size_t(seen.back()) + 1 == seen.size()) return;
  std::vector<uint8_t> all;
  for (int v = 0; v <= seen.back(); ++v) all.push_back(uint8_t(v));
  std::string absent;
  if (all.size() <= 2 * seen.size())
    absent = "; where a class only happens to be absent, name it too: --label-values " + listed(all);
  fail(ExitCode::data, "data", where, ": masks hold ", listed(seen), ", and classes are 0,1,2 ...; say ",
      "--label-values ", listed(seen), " to number them in this order", absent);
}

}  // namespace patchcl
