#include "data/formats/image.h"

#include <cstring>

#include "tensor/error.h"

namespace patchcl {

namespace {
struct ImageFormat {
  const char* signature;
  ImageInfo (*info)(std::span<const uint8_t>, const std::string&);
  Grid (*read)(std::span<const uint8_t>, const std::string&, Use);
};
constexpr ImageFormat kFormats[] = {{"\x89PNG\r\n\x1a\n", png_info, read_png},
    {"\xff\xd8\xff", jpeg_info, read_jpeg}, {"BM", bmp_info, read_bmp}, {"II*", tiff_info, read_tiff},
    {"II+", tiff_info, read_tiff}, {"MM", tiff_info, read_tiff}};

// By content: tiles named .png that are JPEG are not rare.
const ImageFormat& format_of(std::span<const uint8_t> bytes, const std::string& name) {
  for (const ImageFormat& f : kFormats) {
    const size_t n = std::strlen(f.signature);
    if (bytes.size() >= n && std::memcmp(bytes.data(), f.signature, n) == 0) return f;
  }
  fail(ExitCode::data, "image", name, ": no PNG, JPEG, BMP or TIFF image");
}
}  // namespace

ImageInfo image_info(const std::string& path) {
  // JPEG sizes may stand behind long comment blocks.
  Bytes bytes = read_bytes(path, ExitCode::data, uint64_t(1) << 20);
  const ImageFormat& format = format_of(bytes, path);
  if (format.info == tiff_info) bytes = read_bytes(path);  // its pages lie anywhere
  return format.info(bytes, path);
}

Grid read_image(const std::string& path, Use use) { return read_image(read_bytes(path), path, use); }

Grid read_image(std::span<const uint8_t> bytes, const std::string& name, Use use) {
  return format_of(bytes, name).read(bytes, name, use);
}

}  // namespace patchcl
