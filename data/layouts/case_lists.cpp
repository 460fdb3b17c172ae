#include "data/layouts/case_lists.h"

#include <algorithm>
#include <cstdio>
#include <set>
#include <utility>

#include "tensor/error.h"

namespace patchcl {

CaseLists case_lists(Layout layout, const DatasetOptions& options) {
  CaseLists lists{std::move(layout)};
  divide(lists.layout, options);
  std::vector<Source>& train = lists.layout.train;
  if (train.empty()) fail(ExitCode::data, "data", lists.layout.name, " data without a training case");
  const std::set<std::string> with_label = labeled_ids(lists.layout, options.labeled);
  const auto labeled_here = [&](const Source& s) { return s.labeled() && with_label.contains(s.id); };
  lists.labeled = std::stable_partition(train.begin(), train.end(), labeled_here) - train.begin();
  std::erase_if(lists.layout.validation, [](const Source& s) { return !s.labeled(); });
  return lists;
}

std::string CaseLists::fingerprint() const {
  uint64_t hash = 0xCBF29CE484222325ull;  // FNV-1a, 64 bits
  const auto add = [&](const std::string& text) {
    for (const char c : text + "\n") hash = (hash ^ uint8_t(c)) * 0x100000001B3ull;
  };
  int64_t labeled_slices = 0;
  for (int64_t i = 0; i < labeled; ++i) labeled_slices += layout.train[size_t(i)].depth;
  for (const Source& s : layout.train) add(s.id);
  add(std::to_string(labeled_slices));
  for (const Source& s : layout.validation) add(s.id);
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(hash));
  return text;
}

}  // namespace patchcl
