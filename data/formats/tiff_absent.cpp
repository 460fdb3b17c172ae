// Stands in for tiff.cpp in a build without libtiff.
#include "data/formats/image.h"
#include "tensor/error.h"

namespace patchcl {

namespace {
[[noreturn]] void absent(const std::string& name) {
  fail(ExitCode::data, "image", name,
      ": this program was built without libtiff; install libtiff-dev and build again");
}
}  // namespace

ImageInfo tiff_info(std::span<const uint8_t>, const std::string& name) { absent(name); }
Grid read_tiff(std::span<const uint8_t>, const std::string& name, Use) { absent(name); }

}  // namespace patchcl
