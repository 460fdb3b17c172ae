#include "data/formats/image.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>

#include "tensor/error.h"

// stb_image: these decoders only, no file access of its own.
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_ONLY_BMP
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_MAX_DIMENSIONS 32768
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#include <stb_image.h>
#pragma GCC diagnostic pop

namespace patchcl {

namespace {
using Bytes = std::vector<uint8_t>;
constexpr uint8_t kPngSignature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
constexpr int64_t kMaxFile = int64_t(1) << 30, kMaxPixels = int64_t(1) << 28;

uint32_t big_endian(const uint8_t* p) {
  return uint32_t(p[0]) << 24 | uint32_t(p[1]) << 16 | uint32_t(p[2]) << 8 | p[3];
}
uint32_t little_endian(const uint8_t* p) {
  return uint32_t(p[3]) << 24 | uint32_t(p[2]) << 16 | uint32_t(p[1]) << 8 | p[0];
}

// The first `limit` bytes of the file.
Bytes read_bytes(const std::string& path, int64_t limit) {
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  if (error) fail(ExitCode::data, "image", path, ": no such file");
  if (int64_t(size) > kMaxFile) fail(ExitCode::data, "image", path, " is larger than 1 GiB");
  Bytes bytes(size_t(std::min(int64_t(size), limit)));
  std::ifstream file(path, std::ios::binary);
  if (!file.read(reinterpret_cast<char*>(bytes.data()), std::streamsize(bytes.size())))
    fail(ExitCode::data, "image", path, ": cannot be read");
  return bytes;
}

// A whole chain of chunks with right checksums, IHDR first and IEND last; stb_image checks none of that.
void check_png(const std::string& path, const Bytes& b) {
  for (size_t at = sizeof kPngSignature; at + 12 <= b.size();) {
    const size_t length = big_endian(&b[at]);
    if (length > b.size() - at - 12) break;
    if (big_endian(&b[at + 8 + length]) != crc32(0, &b[at + 4], uInt(length + 4)))
      fail(ExitCode::data, "image", path, ": PNG chunk at byte ", at,
          " has a wrong checksum, the file is damaged");
    if (std::memcmp(&b[at + 4], "IEND", 4) == 0) return;
    at += 12 + length;
  }
  fail(ExitCode::data, "image", path, ": PNG ends after ", b.size(),
      " bytes without its last chunk, it is truncated");
}

// A missing tail shows as grey without an error: demand the end-of-image marker, padding behind it allowed.
void check_jpeg(const std::string& path, const Bytes& b) {
  const uint8_t end[2] = {0xff, 0xd9};
  const auto tail = b.end() - std::ptrdiff_t(std::min<size_t>(b.size(), 4096));
  if (std::search(tail, b.end(), end, end + 2) == b.end())
    fail(ExitCode::data, "image", path, ": JPEG has no end marker, it is truncated");
}

void check_bmp(const std::string& path, const Bytes& b, const ImageInfo& info) {
  const uint64_t offset = little_endian(&b[10]), bits = b[28] | b[29] << 8;
  const uint64_t row = (uint64_t(info.width) * bits + 31) / 32 * 4;
  if (offset + row * uint64_t(info.height) > b.size())
    fail(ExitCode::data, "image", path, ": BMP wants ", offset + row * uint64_t(info.height), " bytes, has ",
        b.size(), ", it is truncated");
}

bool starts_with(const Bytes& b, const void* prefix, size_t n) {
  return b.size() > n && std::memcmp(b.data(), prefix, n) == 0;
}
bool is_png(const Bytes& b) { return starts_with(b, kPngSignature, 8); }
bool is_bmp(const Bytes& b) { return starts_with(b, "BM", 2); }

ImageInfo info_of(const std::string& path, const Bytes& b) {
  int w = 0, h = 0, c = 0;
  if (b.size() < 54 || !stbi_info_from_memory(b.data(), int(b.size()), &w, &h, &c) || w < 1 || h < 1)
    fail(ExitCode::data, "image", path, ": no PNG, JPEG or BMP image, or its header is damaged");
  if (w > STBI_MAX_DIMENSIONS || h > STBI_MAX_DIMENSIONS || int64_t(w) * h > kMaxPixels)
    fail(ExitCode::data, "image", path, ": ", h, "x", w,
        " is too large; cut it into tiles of at most 2^28 pixels");
  return {h, w, c >= 3 ? 3 : 1, stbi_is_16_bit_from_memory(b.data(), int(b.size())) ? 16 : 8};
}

// --- PNG out
// -------------------------------------------------------------------------------------------------------
void put_big_endian(Bytes& out, uint32_t v) {
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(uint8_t(v >> shift));
}

void put_chunk(Bytes& out, const char* type, const Bytes& content) {
  put_big_endian(out, uint32_t(content.size()));
  const size_t begin = out.size();
  out.insert(out.end(), type, type + 4);
  out.insert(out.end(), content.begin(), content.end());
  put_big_endian(out, uint32_t(crc32(0, &out[begin], uInt(out.size() - begin))));
}

// Rows of bytes, each stored as the difference to the row above ("up"), which suits smooth images and masks
// alike.
Bytes filter_rows(const Bytes& rows, int64_t height, int64_t stride) {
  Bytes out;
  out.reserve(rows.size() + size_t(height));
  for (int64_t y = 0; y < height; ++y) {
    out.push_back(2);
    for (int64_t i = 0; i < stride; ++i)
      out.push_back(uint8_t(rows[y * stride + i] - (y ? rows[(y - 1) * stride + i] : 0)));
  }
  return out;
}

void write_rows(
    const std::string& path, const Bytes& rows, int64_t h, int64_t w, int64_t channels, int bits) {
  const Bytes filtered = filter_rows(rows, h, w * channels * bits / 8);
  Bytes packed(compressBound(uLong(filtered.size())));
  uLongf size = uLongf(packed.size());
  if (compress2(packed.data(), &size, filtered.data(), uLong(filtered.size()), 6) != Z_OK)
    fail(ExitCode::internal, "image", path, ": zlib could not compress ", filtered.size(), " bytes");
  packed.resize(size);
  Bytes header, out(kPngSignature, kPngSignature + 8);
  put_big_endian(header, uint32_t(w));
  put_big_endian(header, uint32_t(h));
  const uint8_t color_type = channels == 3 ? 2 : 0;
  header.insert(header.end(), {uint8_t(bits), color_type, 0, 0, 0});
  put_chunk(out, "IHDR", header);
  put_chunk(out, "IDAT", packed);
  put_chunk(out, "IEND", {});
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(out.data()), std::streamsize(out.size()));
  if (!file.flush())
    fail(ExitCode::io, "image", path, ": could not be written; does the folder exist, is the disk full?");
}
}  // namespace

ImageInfo image_info(const std::string& path) {
  // JPEG sizes may stand behind long comment blocks.
  return info_of(path, read_bytes(path, int64_t(1) << 20));
}

Grid read_image(const std::string& path) {
  const Bytes b = read_bytes(path, kMaxFile);
  const ImageInfo info = info_of(path, b);
  if (is_png(b)) check_png(path, b);
  else if (is_bmp(b)) check_bmp(path, b, info);
  else check_jpeg(path, b);

  int w, h, stored;
  const int channels = int(info.channels), size = int(b.size());
  std::unique_ptr<void, void (*)(void*)> pixels(
      info.bits == 16
          ? static_cast<void*>(stbi_load_16_from_memory(b.data(), size, &w, &h, &stored, channels))
          : stbi_load_from_memory(b.data(), size, &w, &h, &stored, channels),
      stbi_image_free);
  if (!pixels)
    fail(ExitCode::data, "image", path, ": cannot be decoded (", stbi_failure_reason(), "), it is damaged");

  Grid grid;
  grid.height = h;
  grid.width = w;
  grid.channels = channels;
  if (info.bits == 16) {
    const auto* v = static_cast<const uint16_t*>(pixels.get());
    grid.values.assign(v, v + grid.numel());
    set_range_to_extremes(grid);
  } else {
    const auto* v = static_cast<const uint8_t*>(pixels.get());
    grid.values.assign(v, v + grid.numel());
    grid.high = 255;
  }
  return grid;
}

void write_png(const std::string& path, const uint8_t* values, int64_t h, int64_t w, int64_t channels) {
  write_rows(path, Bytes(values, values + h * w * channels), h, w, channels, 8);
}

void write_png(const std::string& path, const uint16_t* values, int64_t h, int64_t w, int64_t channels) {
  Bytes rows;
  rows.reserve(size_t(h * w * channels) * 2);
  for (int64_t i = 0; i < h * w * channels; ++i) {
    rows.push_back(uint8_t(values[i] >> 8));
    rows.push_back(uint8_t(values[i]));
  }
  write_rows(path, rows, h, w, channels, 16);
}

}  // namespace patchcl
