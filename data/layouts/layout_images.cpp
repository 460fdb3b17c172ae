// A folder of pictures: images/ with masks/, labels/ or annotations/ of equal stem; train.list and val.list
// optional. Masks hold class numbers (of a PNG with a palette: the indices); a mask of 0 and 255 alone is the
// usual way to write a binary one and becomes 0 and 1.
#include <algorithm>
#include <filesystem>
#include <map>

#include "data/formats/image.h"
#include "data/layouts/layout.h"
#include "data/formats/readers.h"
#include "tensor/error.h"

namespace fs = std::filesystem;

namespace patchcl {

namespace {

std::map<std::string, std::string> files_by_stem(const std::string& dir) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::directory_iterator(dir)) {
    std::string extension = entry.path().extension().string();
    std::transform(extension.begin(), extension.end(), extension.begin(),
        [](unsigned char c) { return char(std::tolower(c)); });
    if (extension == ".png" || extension == ".jpg" || extension == ".jpeg" || extension == ".bmp")
      files[entry.path().stem().string()] = entry.path().string();
  }
  return files;
}

Grid read_mask(const std::string& path) {
  Grid mask = read_image(path, Use::mask);
  if (std::all_of(mask.values.begin(), mask.values.end(), [](double v) { return v == 0 || v == 255; }))
    for (double& v : mask.values) v /= 255;
  return mask;
}

}  // namespace

Layout image_layout(const std::string& dir) {
  std::string mask_dir;
  for (const char* name : {"masks", "labels", "annotations"})
    if (fs::is_directory(dir + "/" + name)) mask_dir = dir + "/" + name;
  if (mask_dir.empty())
    fail(ExitCode::data, "data", dir, " has images/ but no masks/, labels/ or annotations/");
  const auto images = files_by_stem(dir + "/images"), masks = files_by_stem(mask_dir);
  const auto source = [&](const std::string& stem) {
    const auto image = images.find(stem), mask = masks.find(stem);
    if (image == images.end() || mask == masks.end())
      fail(ExitCode::data, "data", dir, ": '", stem, "' has no ",
          image == images.end() ? "image" : "mask in " + mask_dir);
    const ImageInfo info = image_info(image->second);
    Source s;
    s.id = stem;
    s.group = patient_of(stem);
    s.path = image->second;
    s.label_path = mask->second;
    s.height = info.height;
    s.width = info.width;
    s.image = [path = s.path] { return read_image(path); };
    s.label = [path = s.label_path] { return read_mask(path); };
    return s;
  };
  Layout layout;
  layout.name = "images";
  layout.volumes = false;
  if (fs::exists(dir + "/train.list"))
    for (const std::string& stem : read_list(dir + "/train.list")) layout.train.push_back(source(stem));
  else
    for (const auto& [stem, path] : images) layout.train.push_back(source(stem));
  if (fs::exists(dir + "/val.list"))
    for (const std::string& stem : read_list(dir + "/val.list")) layout.validation.push_back(source(stem));
  return layout;
}

}  // namespace patchcl
