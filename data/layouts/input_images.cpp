#include "data/layouts/input_images.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "data/formats/image.h"
#include "data/formats/nifti.h"
#include "data/formats/readers.h"
#include "data/layouts/mask_names.h"
#include "data/layouts/source_files.h"
#include "tensor/error.h"

namespace patchcl {

namespace {

namespace fs = std::filesystem;

// What to say instead where the folder is a data set, whose images lie deeper; empty where it is none.
std::string hint_of_data_set(const std::string& where) {
  try {
    const Layout layout = open_layout(where);
    for (const auto* cases : {&layout.train, &layout.validation, &layout.test})
      if (!cases->empty())
        return "; it is a data set: say " + fs::path(cases->front().path).parent_path().string() +
               " for its images, or --split train, val or test for the cases of a split";
  } catch (const Error&) {}
  return "";
}

[[noreturn]] void fail_without_images(const std::string& where) {
  for (const auto& entry : fs::directory_iterator(where))
    if (is_dicom(entry.path())) format_of(entry.path());  // says what to do with it
  fail(ExitCode::data, "predict", where, " holds no .png, .jpg, .bmp, .tif, .h5, .nii or .nii.gz file",
      hint_of_data_set(where));
}

std::vector<std::string> files_of(const std::string& where) {
  std::vector<std::string> files;
  try {
    for (const auto& entry : fs::directory_iterator(where))
      if (is_wanted_file(entry, is_readable)) files.push_back(entry.path());
    if (files.empty()) fail_without_images(where);
  } catch (const fs::filesystem_error& e) {
    fail(ExitCode::data, "predict", e.path1().string(), " cannot be read: ", e.code().message());
  }
  std::sort(files.begin(), files.end());
  return files;
}

// Takes the masks of others out.
std::vector<std::string> take_masks(std::vector<std::string>& files) {
  Files by_stem;
  for (const std::string& file : files) by_stem.emplace(stem_of(file), file);
  const std::set<std::string> stems = masks_among(by_stem);
  const auto masks = std::stable_partition(
      files.begin(), files.end(), [&](const std::string& file) { return !stems.contains(stem_of(file)); });
  std::vector<std::string> taken(masks, files.end());
  files.erase(masks, files.end());
  return taken;
}

bool has_one_channel(const std::string& path) {
  switch (format_of(path)) {
    case Format::h5: return false;  // is never a part
    case Format::nifti: return read_nifti_header(path).channels == 1;
    default: return image_info(path).channels == 1;
  }
}

// The image that `file` is, or is a channel of.
InputImage image_with(const std::string& file, int64_t channels) {
  const std::string stem = stem_of(file), ending = fs::path(file).filename().string().substr(stem.size());
  const size_t at = stem.rfind('_');
  const bool numbered = at != std::string::npos && stem.size() == at + 5 &&
                        stem.find_first_not_of("0123456789", at + 1) == std::string::npos;
  if (!numbered || std::stoll(stem.substr(at + 1)) >= channels) return {{file}, stem};
  const std::string name = stem.substr(0, at), place = fs::path(file).parent_path() / name;
  std::vector<std::string> parts;
  for (int64_t c = 0; c < channels; ++c) parts.push_back(channel_file(place, c, ending));
  const bool apart = channels > 1 && fs::exists(parts[0]) && fs::exists(parts[1]) && has_one_channel(file);
  if (!apart) return {{file}, stem};
  if (!stem.ends_with("_0000"))
    fail(ExitCode::usage, "predict", file, " is one channel of an image; name the first, ", parts[0]);
  for (const std::string& part : parts)
    if (!fs::exists(part))
      fail(ExitCode::data, "predict", part, " is not there; the network takes ", channels,
          " channels, of which ", file, " is the first");
  return {parts, name};
}

}  // namespace

Volume InputImage::read() const {
  if (files.size() == 1) return read_volume(files[0]);
  return to_volume(name, files[0], read_channels(files), nullptr, "");
}

InputImages find_input_images(const std::string& where, int64_t channels) {
  if (!fs::exists(where)) fail(ExitCode::data, "predict", "there is no ", where);
  const bool folder = fs::is_directory(where);
  std::vector<std::string> files = folder ? files_of(where) : std::vector<std::string>{where};
  InputImages found;
  if (folder) found.masks = take_masks(files);
  std::set<fs::path> taken;  // as a channel of an image before
  for (const std::string& file : files) {
    if (taken.contains(file)) continue;
    found.images.push_back(image_with(file, channels));
    taken.insert(found.images.back().files.begin(), found.images.back().files.end());
  }
  return found;
}

}  // namespace patchcl
