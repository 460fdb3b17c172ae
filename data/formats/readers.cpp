#include "data/formats/readers.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>

#include "data/formats/h5.h"
#include "data/formats/image.h"
#include "data/formats/nifti.h"
#include "data/placement.h"
#include "tensor/error.h"
#include "tensor/text.h"

namespace patchcl {

namespace {
std::string position(const Grid& g, int64_t i) {
  const int64_t pixel = i / g.channels, column = pixel % g.width, row = pixel / g.width % g.height,
                slice = pixel / (g.width * g.height);
  return "slice " + std::to_string(slice) + " row " + std::to_string(row) + " column " +
         std::to_string(column);
}

using Colors = std::vector<std::vector<double>>;

// The commonest first, which is the background of most masks; one more than a mask may have where there are
// more.
Colors colors_of(const Grid& label) {
  std::vector<std::pair<std::vector<double>, int64_t>> counted;
  const size_t n = size_t(label.channels);
  for (size_t i = 0; i < label.values.size() && counted.size() <= kMostClasses; i += n) {
    const double* const at = &label.values[i];
    const auto same = [&](const auto& c) { return std::equal(c.first.begin(), c.first.end(), at); };
    auto found = std::find_if(counted.begin(), counted.end(), same);
    if (found == counted.end()) found = counted.insert(found, {{at, at + n}, 0});
    ++found->second;
  }
  std::stable_sort(
      counted.begin(), counted.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  Colors colors;
  for (const auto& [color, pixels] : counted) colors.push_back(color);
  return colors;
}

// "0,0,0;255,0,0"
std::string text_of(const Colors& colors) {
  TextOut text;
  for (size_t k = 0; k < colors.size(); ++k)
    for (size_t c = 0; c < colors[k].size(); ++c) {
      if (k + c > 0) text << (c > 0 ? "," : ";");
      text << colors[k][c];
    }
  return text.str();
}

// "--label-values 0,65535" of a mask of few whole numbers; the option alone of any other.
std::string values_option(const Grid& label) {
  const std::string option = "--label-values";
  std::set<int32_t> values;
  for (size_t i = 0; i < label.values.size(); i += size_t(label.channels)) {
    const double v = label.values[i];
    if (!(v >= 0 && v <= 65535 && v == std::floor(v))) return option;
    values.insert(int32_t(v));
    if (values.size() > kMostClasses) return option;
  }
  return option + " " + listed(std::vector<int32_t>(values.begin(), values.end()));
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}
}  // namespace

Format format_of(const std::string& path) {
  const std::string name = lower(std::filesystem::path(path).filename());
  const auto ends = [&](const char* suffix) { return name.ends_with(suffix); };
  if (ends(".h5") || ends(".hdf5")) return Format::h5;
  if (ends(".nii") || ends(".nii.gz")) return Format::nifti;
  for (const char* image : {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})
    if (ends(image)) return Format::image;
  if (is_dicom(path))
    fail(ExitCode::data, "data", path,
        ": DICOM is not read; dcm2niix (Debian: dcm2niix) turns a folder of it into .nii.gz: dcm2niix -z y "
        "-o OUT FOLDER");
  fail(ExitCode::data, "data", path, ": unknown kind of file; known are .h5 ", kPictureEndings);
}

bool is_dicom(const std::string& path) {
  const std::string extension = lower(std::filesystem::path(path).extension());
  if (extension == ".dcm" || extension == ".dicom") return true;
  if (!std::filesystem::is_regular_file(path)) return false;
  const Bytes start = read_bytes(path, ExitCode::data, 132);
  return start.size() == 132 && std::string(start.begin() + 128, start.end()) == "DICM";
}

bool is_readable(const std::string& path) {
  try {
    format_of(path);
    return true;
  } catch (const Error&) {
    return false;
  }
}

bool is_wanted_file(const std::filesystem::directory_entry& entry,
    const std::function<bool(const std::string& path)>& wanted) {
  const std::string path = entry.path(), name = entry.path().filename();
  std::error_code ignored;
  const bool leads_nowhere = entry.is_symlink(ignored) && !entry.exists(ignored);
  if (name[0] == '.' || !(leads_nowhere || entry.is_regular_file(ignored)) || !wanted(path)) return false;
  if (leads_nowhere)
    fail(ExitCode::data, "data", path,
        ": a link to nothing; fetch the file (git annex get, dvc pull), or take the link away");
  return true;
}

std::string stem_of(const std::string& path) {
  std::string name = std::filesystem::path(path).stem();
  if (lower(name).ends_with(".nii")) name.resize(name.size() - 4);
  return name;
}

Grid read_grid(const std::string& path, const std::string& array) {
  switch (format_of(path)) {
    case Format::h5: return read_h5(path, array);
    case Format::nifti: return read_nifti(path);
    default: return read_image(path);
  }
}

Grid read_image_grid(const std::string& path) {
  Grid grid = read_grid(path);
  if (format_of(path) == Format::nifti) normalize_channels(grid);
  return grid;
}

double range_of(const Grid& image) { return image.high > image.low ? image.high - image.low : 1; }

void normalize_channels(Grid& grid) {
  if (grid.channels == 1) return;
  Grid channel = grid;
  const size_t n = size_t(grid.channels);
  for (size_t c = 0; c < n; ++c) {
    channel.values.clear();
    for (size_t i = c; i < grid.values.size(); i += n) channel.values.push_back(grid.values[i]);
    set_range_to_extremes(channel);
    const double range = range_of(channel);
    for (size_t i = c; i < grid.values.size(); i += n)
      grid.values[i] = (grid.values[i] - channel.low) / range;
  }
  grid.low = 0;
  grid.high = 1;
}

std::vector<float> normalized(const Grid& image, const std::string& path) {
  const double range = image.high - image.low;
  if (!std::isfinite(range) || !std::isfinite(1 / (range > 0 ? range : 1)))
    fail(ExitCode::data, "data", path, ": values from ", image.low, " to ", image.high,
        " are too far apart or too close to be normalised; scale the image");
  std::vector<float> out(image.values.size());
  for (size_t i = 0; i < out.size(); ++i) {
    if (!std::isfinite(image.values[i]))
      fail(ExitCode::data, "data", path, ": ", image.values[i], " at ", position(image, int64_t(i)),
          "; repair the image or take it out of the list");
    out[i] = range > 0 ? float((image.values[i] - image.low) / range) : 0;
  }
  return out;
}

void demand_grey(const Grid& mask, const std::string& path) {
  const size_t n = size_t(mask.channels);
  bool grey = true;
  for (size_t i = 0; i < mask.values.size() && grey; i += n)
    for (size_t c = 1; c < n; ++c) grey = grey && mask.values[i + c] == mask.values[i];
  if (grey) return;
  const Colors colors = colors_of(mask);
  if (colors.size() > kMostClasses)
    fail(ExitCode::data, "data", path, ": more than ", kMostClasses,
        " colours, as an image has them; a mask has one for each class, with hard edges: resize masks "
        "with the nearest pixel and save them without loss");
  fail(ExitCode::data, "data", path,
      ": coloured mask; number its colours, background first: --label-colors \"", text_of(colors), "\"");
}

std::vector<uint8_t> to_label(const Grid& label, const std::string& path) {
  demand_grey(label, path);
  std::vector<uint8_t> out(size_t(label.numel() / label.channels));
  for (size_t i = 0; i < out.size(); ++i) {
    const double* v = &label.values[i * size_t(label.channels)];
    if (!(v[0] >= 0 && v[0] <= 255 && v[0] == std::floor(v[0])))
      fail(ExitCode::data, "data", path, ": label ", v[0], " at ",
          position(label, int64_t(i) * label.channels), " is no class number; number the values with ",
          values_option(label), ", or read numbers of objects with --instance-masks true");
    out[i] = uint8_t(v[0]);
  }
  return out;
}

Volume to_volume(const std::string& id, const std::string& path, const Grid& image, const Grid* label,
    const std::string& label_path) {
  Volume v;
  v.id = id;
  v.source = path;
  v.depth = image.depth;
  v.height = image.height;
  v.width = image.width;
  v.channels = image.channels;
  v.spacing = image.spacing;
  v.spacing_known = image.spacing_known;
  v.image = normalized(image, path);
  if (label) {
    if (label->depth != image.depth || label->height != image.height || label->width != image.width)
      fail(ExitCode::data, "data", "image and mask of different size: ", path, " is ", image.size_text(),
          ", ", label_path, " is ", label->size_text());
    demand_same_placement(image, path, *label, label_path);
    v.label = to_label(*label, label_path);
  }
  return v;
}

Volume read_volume(const std::string& path) {
  const Grid image = read_image_grid(path);
  std::optional<Grid> label;
  if (format_of(path) == Format::h5) label = read_h5(read_bytes(path), path, "label");
  return to_volume(stem_of(path), path, image, label ? &*label : nullptr, path);
}

void demand_mask_name(const std::string& path, int64_t depth) {
  const auto ends_in = [name = lower(path)](const char* ending) { return name.ends_with(ending); };
  const char* const known[] = {".png", ".h5", ".hdf5", ".nii", ".nii.gz"};
  if (std::none_of(std::begin(known), std::end(known), ends_in))
    fail(ExitCode::usage, "data", "the mask ", path,
        " has none of the endings .png, .h5, .nii and .nii.gz; choose one (a folder for masks ends in '/')");
  if (depth > 1 && ends_in(".png"))
    fail(ExitCode::usage, "data", path, ": a volume of ", depth,
        " slices does not fit into one PNG; write .h5 or .nii.gz");
}

void write_label(const std::string& path, const std::vector<uint8_t>& label, const Volume& source) {
  switch (format_of(path)) {
    case Format::h5:
      if (source.depth > 1) write_h5(path, {source.depth, source.height, source.width}, nullptr, &label);
      else write_h5(path, {source.height, source.width}, nullptr, &label);
      return;
    case Format::nifti: {
      Grid g;
      g.depth = source.depth;
      g.height = source.height;
      g.width = source.width;
      g.spacing = source.spacing;
      g.spacing_known = source.spacing_known;
      g.values.assign(label.begin(), label.end());
      const bool from_nifti = !source.source.empty() && std::filesystem::exists(source.source) &&
                              format_of(source.source) == Format::nifti;
      write_nifti(path, g, NiftiType::u8, from_nifti ? source.source : "");
      return;
    }
    case Format::image:
      demand_mask_name(path, source.depth);
      write_png(path, label.data(), source.height, source.width, 1);
  }
}

}  // namespace patchcl
