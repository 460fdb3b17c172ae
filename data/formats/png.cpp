// PNG through lodepng.
#include <lodepng.h>

#include <cstdlib>
#include <memory>
#include <new>

#include "data/formats/image.h"
#include "data/formats/limits.h"
#include "tensor/error.h"

namespace patchcl {

namespace {
using Pixels = std::unique_ptr<unsigned char, void (*)(void*)>;

constexpr unsigned kNoMemory = 83;  // lodepng's number for it

void check(unsigned error, const std::string& name) {
  if (error == kNoMemory) throw std::bad_alloc();
  if (error)
    fail(ExitCode::data, "image", name,
        ": PNG cannot be decoded, it is damaged or truncated: ", lodepng_error_text(error));
}

ImageInfo inspect(std::span<const uint8_t> b, const std::string& name, lodepng::State& state) {
  unsigned w = 0, h = 0;
  check(lodepng_inspect(&w, &h, &state, b.data(), b.size()), name);
  const LodePNGColorMode& color = state.info_png.color;
  const bool grey = color.colortype == LCT_GREY || color.colortype == LCT_GREY_ALPHA;
  return {h, w, grey ? 1 : 3, color.bitdepth == 16 ? 16 : 8};
}

// Number i of samples of 1, 2, 4, 8 or 16 bits, the most significant bit first and no gap between rows.
unsigned sample(const unsigned char* p, unsigned bits, size_t i) {
  if (bits == 16) return unsigned(p[2 * i]) << 8 | p[2 * i + 1];
  const size_t at = i * bits;
  return unsigned(p[at / 8]) >> (8 - bits - at % 8) & ((1u << bits) - 1);
}

Bytes encoded(const Bytes& rows, int64_t h, int64_t w, int64_t channels, int bits) {
  lodepng::State state;
  state.encoder.auto_convert = 0;  // what is 16-bit grey stays so, whatever its values
  state.info_raw.colortype = state.info_png.color.colortype = channels == 3 ? LCT_RGB : LCT_GREY;
  state.info_raw.bitdepth = state.info_png.color.bitdepth = unsigned(bits);
  Bytes out, again;
  unsigned width = 0, height = 0;
  unsigned error = lodepng::encode(out, rows, unsigned(w), unsigned(h), state);
  // Where memory runs out while it packs, lodepng may lose bits and say nothing.
  if (!error)
    error = lodepng::decode(again, width, height, out, state.info_raw.colortype, state.info_raw.bitdepth);
  if (error == kNoMemory || (!out.empty() && again != rows)) throw std::bad_alloc();
  if (error)
    fail(ExitCode::internal, "image", "numbers of ", h, "x", w, "x", channels,
        " cannot be written as PNG: ", lodepng_error_text(error));
  return out;
}
}  // namespace

ImageInfo png_info(std::span<const uint8_t> b, const std::string& name) {
  lodepng::State state;
  return inspect(b, name, state);
}

Grid read_png(std::span<const uint8_t> b, const std::string& name, Use use) {
  lodepng::State state;
  const ImageInfo info = inspect(b, name, state);
  check_claim("image", name, double(info.height) * double(info.width) * double(info.channels), b.size());
  const LodePNGColorMode& stored = state.info_png.color;
  const bool as_stored =
      stored.colortype == LCT_GREY || (stored.colortype == LCT_PALETTE && use == Use::mask);
  const unsigned bits = as_stored ? stored.bitdepth : unsigned(info.bits);
  const unsigned scale = use == Use::image && bits < 8 ? 255 / ((1u << bits) - 1) : 1;
  state.decoder.color_convert = !as_stored;
  state.decoder.read_text_chunks = 0;
  // Interlaced rows have up to 15/8 as many filter bytes and ends as there are rows.
  state.decoder.zlibsettings.max_output_size =
      lodepng_get_raw_size(unsigned(info.width), unsigned(info.height), &stored) + 4 * size_t(info.height) +
      64;
  state.info_raw.colortype = LCT_RGB;
  state.info_raw.bitdepth = bits;
  unsigned char* decoded = nullptr;
  unsigned w = 0, h = 0;
  const unsigned error = lodepng_decode(&decoded, &w, &h, &state, b.data(), b.size());
  const Pixels pixels(decoded, std::free);
  check(error, name);

  Grid grid;
  grid.height = info.height;
  grid.width = info.width;
  grid.channels = as_stored ? 1 : info.channels;
  const size_t samples = as_stored ? 1 : 3, n = size_t(grid.numel()), channels = size_t(grid.channels);
  grid.values.reserve(n);
  for (size_t i = 0; i < n; ++i)
    grid.values.push_back(scale * sample(decoded, bits, i / channels * samples + i % channels));
  if (stored.colortype == LCT_PALETTE && as_stored)
    for (size_t i = 0; i < stored.palettesize; ++i)
      grid.palette.push_back({stored.palette[4 * i], stored.palette[4 * i + 1], stored.palette[4 * i + 2]});
  grid.high = 255;
  if (info.bits == 16) set_range_to_extremes(grid);
  return grid;
}

Bytes png_of(const uint8_t* values, int64_t h, int64_t w, int64_t channels) {
  return encoded(Bytes(values, values + h * w * channels), h, w, channels, 8);
}

void write_png(const std::string& path, const uint8_t* values, int64_t h, int64_t w, int64_t channels) {
  write_bytes(path, png_of(values, h, w, channels));
}

void write_png(const std::string& path, const uint16_t* values, int64_t h, int64_t w, int64_t channels) {
  Bytes rows;
  rows.reserve(size_t(h * w * channels) * 2);
  for (int64_t i = 0; i < h * w * channels; ++i) {
    rows.push_back(uint8_t(values[i] >> 8));
    rows.push_back(uint8_t(values[i]));
  }
  write_bytes(path, encoded(rows, h, w, channels, 16));
}

}  // namespace patchcl
