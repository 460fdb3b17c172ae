#include "train/commands/class_names.h"

#include <algorithm>
#include <cstdio>

#include "data/class_names.h"
#include "tensor/file.h"
#include "tensor/text.h"
#include "train/evaluate/table.h"

namespace patchcl {

namespace {

bool are_made_up(const std::vector<std::string>& names) {
  for (size_t k = 1; k < names.size(); ++k)
    if (names[k] != class_name({}, int64_t(k))) return false;
  return true;
}

// How the background is called makes no difference.
std::vector<std::string> foreground(const std::vector<std::string>& names) {
  const std::vector<std::string> all = distinct(names);
  return {all.begin() + 1, all.end()};
}

std::string in_words(const NamedClasses& c) { return c.who + " has " + listed(foreground(c.names), ", "); }

}  // namespace

std::vector<std::string> foreground_names(const ModelInfo& info, const std::vector<std::string>& otherwise) {
  const int64_t classes = info.classes_without_border();
  const std::vector<std::string> names =
      named_up_to(distinct(info.class_names.empty() ? otherwise : info.class_names), classes);
  return {names.begin() + 1, names.begin() + classes};
}

std::vector<std::string> class_names_of(const ModelInfo& info) {
  std::vector<std::string> names = info.class_names;
  if (!names.empty()) names.resize(size_t(info.classes_without_border()));
  return names;
}

void demand_same_classes(const NamedClasses& a, const NamedClasses& b, const std::string& remedy) {
  if (are_made_up(a.names) || are_made_up(b.names)) return;
  const std::vector<std::string> of_a = foreground(a.names), of_b = foreground(b.names);
  if (of_a == of_b) return;
  const std::string both = in_words(a) + "; " + in_words(b);
  if (std::is_permutation(of_a.begin(), of_a.end(), of_b.begin(), of_b.end()))
    fail(ExitCode::usage, "classes", "the same classes in another order: ", both, remedy);
  std::fprintf(
      stderr, "other names of classes: %s; taken for the same in this order\n", printable(both).c_str());
}

std::string renumbered(
    const ReadOptions& read, const std::vector<std::string>& names, const std::vector<std::string>& wanted) {
  const LabelMap map = parse_label_map(read.label_values, read.label_colors);
  const std::vector<std::string> here = distinct(names), there = distinct(wanted);
  if (!map.empty() && map.entries.size() < here.size()) return "";
  const bool colors = !read.label_colors.empty();
  std::vector<std::string> stored;
  for (size_t k = 0; k < there.size(); ++k) {
    const size_t at = size_t(std::find(here.begin() + 1, here.end(), there[k]) - here.begin());
    const size_t from = k == 0 || at == here.size() ? k : at;  // as stored, where there is no map
    stored.push_back(map.empty() ? std::to_string(from) : listed(map.entries.at(from)));
  }
  if (colors) return "; say --label-colors \"" + listed(stored, ";") + "\"";
  return "; say --label-values " + listed(stored);
}

}  // namespace patchcl
