#include "train/commands/output_files.h"

#include <filesystem>

#include "tensor/error.h"

namespace patchcl {

namespace {

namespace fs = std::filesystem;

// The same for all ways to name a file, be it there or not.
std::string place_of(const std::string& path) {
  std::error_code unknown;
  const fs::path absolute = fs::absolute(path, unknown), place = fs::weakly_canonical(absolute, unknown);
  return (place.empty() ? absolute.lexically_normal() : place).string();
}

template <class F> void for_each_case(const Layout& layout, F&& fn) {
  for (const auto* cases : {&layout.train, &layout.validation, &layout.test})
    for (const Source& s : *cases) fn(s);
}

}  // namespace

void OutputFiles::keep(const std::string& path, const std::string& what) {
  if (!path.empty()) kept_.emplace(place_of(path), what + " " + path);
}

void OutputFiles::keep_files_of(const Layout& layout) {
  for_each_case(layout, [&](const Source& s) {
    keep(s.path, "the image");
    for (const std::string& path : s.more_paths) keep(path, "the image");
    keep(s.label_path, "the reference mask");
  });
}

// Those of the data set whose folder of masks this is: it begins here, or one or two folders above.
void OutputFiles::keep_references_near(const std::string& place) {
  const fs::path folder = fs::path(place).parent_path(), above = folder.parent_path();
  if (!known_folders_.insert(folder).second) return;
  for (const fs::path& root : {folder, above, above.parent_path()}) {
    try {
      for_each_case(open_layout(root), [&](const Source& s) { keep(s.label_path, "the reference mask"); });
    } catch (const std::exception&) {}  // no data set
  }
}

void OutputFiles::add(const std::string& path, const std::string& what) {
  const std::string place = place_of(path);
  if (fs::exists(place)) keep_references_near(place);
  if (const auto kept = kept_.find(place); kept != kept_.end())
    fail(ExitCode::usage, command_, what, " would replace ", kept->second, "; choose another output");
  const auto [other, first] = added_.emplace(place, what);
  if (!first)
    fail(ExitCode::usage, command_, other->second, " and ", what, " would both become ", path,
        "; give one of the two another name, or choose another folder");
}

}  // namespace patchcl
