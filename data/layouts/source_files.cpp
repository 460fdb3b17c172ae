#include "data/layouts/source_files.h"

#include <algorithm>

#include "data/formats/image.h"
#include "data/formats/nifti.h"
#include "data/formats/readers.h"

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

Grid read_mask(const std::string& path) {
  return format_of(path) == Format::nifti ? read_nifti(path) : read_image(path, Use::mask);
}

bool hold_volumes(const std::vector<Source>& sources) {
  return std::any_of(sources.begin(), sources.end(),
      [](const Source& s) { return s.depth > 1 || format_of(s.path) == Format::nifti; });
}

}  // namespace patchcl
