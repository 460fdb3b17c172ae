#include "data/layouts/palettes.h"

#include <algorithm>
#include <set>
#include <vector>

#include "tensor/error.h"
#include "tensor/text.h"

namespace patchcl {

void Palettes::add(const Grid& stored, const std::string& path) {
  if (stored.palette.empty()) return;
  for (const double number : std::set<double>(stored.values.begin(), stored.values.end())) {
    if (size_t(number) >= stored.palette.size())
      fail(ExitCode::data, "data", path, ": holds ", number, ", and its palette has ", stored.palette.size(),
          " colours; save the mask anew");
    const Color& color = stored.palette[size_t(number)];
    const auto [known, added] = entries_.try_emplace(int(number), color, path);
    if (added || known->second.first == color) continue;
    fail(ExitCode::data, "data", path, ": ", number, " is the colour ", text_of(color),
        " in its palette and ", text_of(known->second.first), " in that of ", known->second.second,
        "; number the colours, background first: --label-colors \"", colors_with(stored), "\"");
  }
}

// Of the masks so far and of this one.
std::string Palettes::colors_with(const Grid& stored) const {
  std::vector<std::string> colors;
  const auto add_color = [&](const Color& color) {
    const std::string text = text_of(color);
    if (std::find(colors.begin(), colors.end(), text) == colors.end()) colors.push_back(text);
  };
  for (const auto& [number, entry] : entries_) add_color(entry.first);
  for (const double number : std::set<double>(stored.values.begin(), stored.values.end()))
    if (size_t(number) < stored.palette.size()) add_color(stored.palette[size_t(number)]);
  return listed(colors, ";");
}

std::string Palettes::text_of(const Color& color) {
  return listed(std::vector<int>(color.begin(), color.end()));
}

}  // namespace patchcl
