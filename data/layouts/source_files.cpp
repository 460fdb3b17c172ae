#include "data/layouts/source_files.h"

#include <algorithm>

#include "data/formats/image.h"
#include "data/formats/nifti.h"
#include "data/formats/readers.h"
#include "tensor/error.h"

namespace patchcl {

void set_sizes(Source& s) {
  if (format_of(s.path) == Format::nifti) {
    const Grid header = read_nifti_header(s.path);
    s.depth = header.depth;
    s.height = header.height;
    s.width = header.width;
    return;
  }
  const ImageInfo info = image_info(s.path);
  s.depth = info.depth;
  s.height = info.height;
  s.width = info.width;
}

std::string channel_file(const std::string& name, int64_t channel, const std::string& ending) {
  const std::string number = std::to_string(channel);
  return name + "_" + std::string(number.size() < 4 ? 4 - number.size() : 0, '0') + number + ending;
}

Grid read_channels(const std::vector<std::string>& paths) {
  Grid all = read_grid(paths.at(0));
  const size_t pixels = all.values.size(), n = paths.size();
  if (n > 1) {
    all.channels = int64_t(n);
    all.values.resize(pixels * n);
  }
  for (size_t c = 0; n > 1 && c < n; ++c) {
    const Grid channel = read_grid(paths[c]);
    if (channel.values.size() != pixels || channel.channels != 1)
      fail(ExitCode::data, "data", paths[c], " is ", channel.size_text(), "; wants one channel, as large as ",
          paths[0]);
    for (size_t i = 0; i < pixels; ++i) all.values[i * n + c] = channel.values[i];
  }
  if (n > 1 || format_of(paths[0]) == Format::nifti) normalize_channels(all);
  return all;
}

Grid read_mask(const std::string& path) {
  return format_of(path) == Format::nifti ? read_nifti(path) : read_image(path, Use::mask);
}

bool hold_volumes(const std::vector<Source>& sources) {
  return std::any_of(sources.begin(), sources.end(),
      [](const Source& s) { return s.depth > 1 || format_of(s.path) == Format::nifti; });
}

}  // namespace patchcl
