// Uncompressed BMP through stb_image, which sees a file only after its header has been found sound.
#include <cstring>
#include <limits>
#include <memory>

#include "data/formats/image.h"
#include "data/formats/limits.h"
#include "tensor/error.h"

#define STBI_ONLY_BMP
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#include <stb_image.h>
#pragma GCC diagnostic pop

namespace patchcl {

namespace {
constexpr size_t kHeader = 54;  // file header of 14 bytes, information header of 40

uint32_t u32(std::span<const uint8_t> b, size_t at) {
  return uint32_t(b[at + 3]) << 24 | uint32_t(b[at + 2]) << 16 | uint32_t(b[at + 1]) << 8 | b[at];
}
unsigned bits_of(std::span<const uint8_t> b) { return b[28] | unsigned(b[29]) << 8; }
}  // namespace

ImageInfo bmp_info(std::span<const uint8_t> b, const std::string& name) {
  if (b.size() < kHeader) fail(ExitCode::data, "image", name, ": BMP of ", b.size(), " bytes is truncated");
  const int64_t w = int32_t(u32(b, 18)),
                h = int32_t(u32(b, 22));  // a negative height: the first row is on top
  const uint32_t header = u32(b, 14), compression = u32(b, 30);
  const unsigned bits = bits_of(b);
  const bool sound = (header == 40 || header == 108 || header == 124) && compression == 0 &&
                     (bits == 1 || bits == 4 || bits == 8 || bits == 24 || bits == 32);
  if (!sound || w < 1 || h == 0)
    fail(ExitCode::data, "image", name, ": BMP of ", w, "x", h, ", ", bits, " bits, compression ",
        compression, ", header of ", header, " bytes; only uncompressed ones are read, save it as PNG");
  return {std::abs(h), w, 3, 8};
}

Grid read_bmp(std::span<const uint8_t> b, const std::string& name, Use) {
  const ImageInfo info = bmp_info(b, name);
  const uint64_t offset = u32(b, 10), row = (uint64_t(info.width) * bits_of(b) + 31) / 32 * 4;
  if (offset < 14 + u32(b, 14) || offset > b.size() || b.size() > size_t(std::numeric_limits<int>::max()))
    fail(ExitCode::data, "image", name, ": BMP of ", b.size(), " bytes with its pixels at ", offset);
  check_claim("image", name, double(info.height) * double(info.width) * 3, b.size());
  if (double(row) * double(info.height) > double(b.size() - offset))
    fail(ExitCode::data, "image", name, ": BMP ends early, it is truncated");
  int w = 0, h = 0, channels = 0;
  const std::unique_ptr<stbi_uc, void (*)(void*)> pixels(
      stbi_load_from_memory(b.data(), int(b.size()), &w, &h, &channels, 3), stbi_image_free);
  if (!pixels || w != info.width || h != info.height)
    fail(ExitCode::data, "image", name, ": BMP cannot be decoded, it is damaged: ", stbi_failure_reason());
  Grid grid;
  grid.height = h;
  grid.width = w;
  grid.channels = 3;
  grid.high = 255;
  grid.values.assign(pixels.get(), pixels.get() + grid.numel());
  return grid;
}

}  // namespace patchcl
