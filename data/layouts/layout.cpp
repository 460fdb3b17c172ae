#include "data/layouts/layout.h"

#include <filesystem>
#include <fstream>

#include "data/layouts/phantom.h"
#include "tensor/error.h"

namespace fs = std::filesystem;

namespace patchcl {

Layout open_layout(const std::string& where) {
  if (where == "phantom" || where.starts_with("phantom:")) return phantom_layout(parse_phantom(where));
  if (!fs::exists(where)) fail(ExitCode::data, "data", where, ": no such folder");
  if (!fs::is_directory(where))
    fail(ExitCode::data, "data", where, ": is a file, wants the folder of a data set");
  if (fs::exists(where + "/dataset.json")) return nifti_layout(where);
  if (fs::exists(where + "/train_slices.list")) return ssl4mis_layout(where);
  if (fs::is_directory(where + "/images")) return image_layout(where);
  fail(ExitCode::data, "data", where,
      ": no known layout; wants train_slices.list with data/ (SSL4MIS), dataset.json with imagesTr/ (MSD, "
      "nnU-Net), or images/ with masks/");
}

std::vector<std::string> read_list(const std::string& path) {
  std::ifstream file(path);
  if (!file) fail(ExitCode::data, "data", path, ": no such list");
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) {
    const size_t begin = line.find_first_not_of(" \t\r"), end = line.find_last_not_of(" \t\r");
    if (begin != std::string::npos) lines.push_back(line.substr(begin, end - begin + 1));
  }
  return lines;
}

std::string patient_of(const std::string& id) {
  for (const char* mark : {"_frame", "_slice_"})
    if (const size_t at = id.find(mark); at != std::string::npos && at > 0) return id.substr(0, at);
  return id;
}

}  // namespace patchcl
