// TIFF through libtiff: 1 to 16 bit and float, grey, palette or colour, strips or tiles; the pages of a file
// are the slices of a volume.
#include <tiffio.h>

#include <cmath>
#include <cstring>
#include <memory>

#include "data/formats/image.h"
#include "data/formats/limits.h"
#include "tensor/error.h"

namespace patchcl {

namespace {
constexpr int64_t kMostPages = 4096, kMostBytesAtOnce = int64_t(1) << 30;

// What the library reads from: the bytes of the file in memory.
struct TiffBytes {
  std::span<const uint8_t> bytes;
  std::string name, error;
  uint64_t at = 0;
};
tmsize_t read_from(thandle_t handle, void* to, tmsize_t size) {
  auto& m = *static_cast<TiffBytes*>(handle);
  const uint64_t n = m.at < m.bytes.size() ? std::min<uint64_t>(uint64_t(size), m.bytes.size() - m.at) : 0;
  if (n > 0) std::memcpy(to, m.bytes.data() + m.at, n);
  m.at += n;
  return tmsize_t(n);
}
tmsize_t write_to(thandle_t, void*, tmsize_t) { return 0; }
toff_t seek(thandle_t handle, toff_t offset, int whence) {
  auto& m = *static_cast<TiffBytes*>(handle);
  const uint64_t from[] = {0, m.at, m.bytes.size()};
  return m.at = from[whence] + offset;
}
int close(thandle_t) { return 0; }
toff_t size_of(thandle_t handle) { return static_cast<TiffBytes*>(handle)->bytes.size(); }
int keep_error(TIFF*, void* memory, const char*, const char* format, va_list arguments) {
  auto& m = *static_cast<TiffBytes*>(memory);
  char text[256];
  std::vsnprintf(text, sizeof text, format, arguments);
  if (m.error.empty()) m.error = text;
  return 1;
}
int ignore(TIFF*, void*, const char*, const char*, va_list) { return 1; }  // unknown tags, mostly

// One page as the file describes it.
struct TiffPage {
  uint32_t height = 0, width = 0, rows = 0, tile_height = 0, tile_width = 0;
  uint16_t bits = 1, samples = 1, format = SAMPLEFORMAT_UINT, planar = PLANARCONFIG_CONTIG,
           photometric = PHOTOMETRIC_MINISBLACK, compression = COMPRESSION_NONE;
  bool tiled = false;
  int64_t channels = 1;  // of the image: without alpha, a palette as three
};

class TiffDecoder {
 public:
  TiffDecoder(std::span<const uint8_t> bytes, const std::string& name)
      : memory_{bytes, name, ""}, tiff_(nullptr, TIFFClose) {
    const std::unique_ptr<TIFFOpenOptions, void (*)(TIFFOpenOptions*)> options(
        TIFFOpenOptionsAlloc(), TIFFOpenOptionsFree);
    TIFFOpenOptionsSetMaxSingleMemAlloc(options.get(), kMostBytesAtOnce);
    TIFFOpenOptionsSetErrorHandlerExtR(options.get(), keep_error, &memory_);
    TIFFOpenOptionsSetWarningHandlerExtR(options.get(), ignore, nullptr);
    tiff_.reset(TIFFClientOpenExt(name.c_str(), "rm", &memory_, read_from, write_to, seek, close, size_of,
        nullptr, nullptr, options.get()));
    if (!tiff_) stop();
  }

  // Pages that are no smaller copies of another.
  int64_t pages() {
    int64_t n = 1;
    for (int64_t all = 1; TIFFReadDirectory(tiff_.get()); ++all) {
      if (all >= kMostPages) refuse("more than ", kMostPages, " pages");
      n += !is_smaller_copy();
    }
    if (!memory_.error.empty() || !TIFFSetDirectory(tiff_.get(), 0)) stop();
    return n;
  }

  TiffPage page(Use use) {
    TiffPage p;
    TIFF* const t = tiff_.get();
    if (!TIFFGetField(t, TIFFTAG_IMAGEWIDTH, &p.width) || !TIFFGetField(t, TIFFTAG_IMAGELENGTH, &p.height))
      stop();
    for (const auto& [tag, value] : {std::pair{TIFFTAG_BITSPERSAMPLE, &p.bits},
             {TIFFTAG_SAMPLESPERPIXEL, &p.samples}, {TIFFTAG_SAMPLEFORMAT, &p.format},
             {TIFFTAG_PLANARCONFIG, &p.planar}, {TIFFTAG_COMPRESSION, &p.compression}})
      TIFFGetFieldDefaulted(t, uint32_t(tag), value);
    TIFFGetField(t, TIFFTAG_PHOTOMETRIC, &p.photometric);
    if (p.compression == COMPRESSION_JPEG && use == Use::mask)
      refuse("a mask in JPEG, which changes class numbers at every border; save it with LZW");
    if (p.photometric == PHOTOMETRIC_YCBCR && p.compression == COMPRESSION_JPEG) {
      TIFFSetField(t, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
      p.photometric = PHOTOMETRIC_RGB;
    }
    p.tiled = TIFFIsTiled(t);
    if (p.tiled) {
      TIFFGetField(t, TIFFTAG_TILEWIDTH, &p.tile_width);
      TIFFGetField(t, TIFFTAG_TILELENGTH, &p.tile_height);
    } else {
      TIFFGetFieldDefaulted(t, TIFFTAG_ROWSPERSTRIP, &p.rows);
    }
    check(p);
    p.channels = p.photometric == PHOTOMETRIC_RGB || (is_palette(p) && use == Use::image) ? 3 : 1;
    return p;
  }
  static bool is_palette(const TiffPage& p) { return p.photometric == PHOTOMETRIC_PALETTE; }

  bool next() {
    do
      if (!TIFFReadDirectory(tiff_.get())) return false;
    while (is_smaller_copy());
    return true;
  }
  const std::string& name() const { return memory_.name; }

  void append(const TiffPage& p, Use use, Grid& grid) {
    check_claim("image", name(), double(p.height) * p.width * p.samples, memory_.bytes.size());
    const size_t begin = grid.values.size(), n = size_t(p.channels);
    std::vector<double> stored = samples(p);
    grid.values.resize(begin + size_t(p.height) * p.width * n);
    if (is_palette(p) && use == Use::image) {
      uint16_t* color[3];
      if (!TIFFGetField(tiff_.get(), TIFFTAG_COLORMAP, &color[0], &color[1], &color[2])) stop();
      for (size_t i = 0; i < stored.size() / p.samples; ++i)
        for (size_t c = 0; c < 3; ++c)
          grid.values[begin + i * 3 + c] = color[c][size_t(stored[i * p.samples])] >> 8;
      return;
    }
    const double white = std::ldexp(1., p.bits) - 1;
    const double scale = use == Use::image && p.bits < 8 ? 255 / white : 1;
    const bool inverted = p.photometric == PHOTOMETRIC_MINISWHITE && p.format == SAMPLEFORMAT_UINT;
    for (size_t i = 0; i < stored.size() / p.samples; ++i)
      for (size_t c = 0; c < n; ++c) {
        const double v = stored[i * p.samples + c];
        grid.values[begin + i * n + c] = scale * (inverted ? white - v : v);
      }
  }

 private:
  // A step of a pyramid, or a thumbnail.
  bool is_smaller_copy() {
    uint32_t kind = 0;
    TIFFGetFieldDefaulted(tiff_.get(), TIFFTAG_SUBFILETYPE, &kind);
    return kind & FILETYPE_REDUCEDIMAGE;
  }
  template <class... A> [[noreturn]] void refuse(const A&... what) const {
    fail(ExitCode::data, "image", name(), ": TIFF with ", what...);
  }
  [[noreturn]] void stop() const {
    fail(ExitCode::data, "image", name(), ": TIFF cannot be decoded, it is damaged or truncated: ",
        memory_.error.empty() ? "no image" : memory_.error);
  }

  void check(const TiffPage& p) const {
    const bool numbers = p.format == SAMPLEFORMAT_IEEEFP
                             ? p.bits == 32 || p.bits == 64
                             : p.format <= SAMPLEFORMAT_INT && (p.bits == 8 || p.bits == 16 || p.bits == 32);
    const bool few = p.format == SAMPLEFORMAT_UINT && (p.bits == 1 || p.bits == 2 || p.bits == 4);
    if (!numbers && !few)
      refuse("samples of ", p.bits, " bits, format ", p.format, "; save 8 or 16 bits or float");
    const bool kinds = p.photometric <= PHOTOMETRIC_PALETTE;
    const size_t least = p.photometric == PHOTOMETRIC_RGB ? 3 : 1;
    if (!kinds || p.samples < least || p.samples > least + 1 || (is_palette(p) && p.bits > 16) ||
        (is_palette(p) && p.format != SAMPLEFORMAT_UINT))
      refuse("colours of kind ", p.photometric, " and ", p.samples, " samples; save it as grey or RGB");
    if (p.width == 0 || p.height == 0 || (p.tiled && (p.tile_width == 0 || p.tile_height == 0)))
      refuse("no pixels");
  }

  static double number(const uint8_t* row, const TiffPage& p, size_t i) {
    const auto as = [&](auto zero) {
      std::memcpy(&zero, row + i * sizeof zero, sizeof zero);
      return double(zero);
    };
    const bool whole = p.format == SAMPLEFORMAT_INT;
    switch (p.bits) {
      case 8: return whole ? as(int8_t()) : as(uint8_t());
      case 16: return whole ? as(int16_t()) : as(uint16_t());
      case 32:
        if (p.format == SAMPLEFORMAT_IEEEFP) return as(float());
        return whole ? as(int32_t()) : as(uint32_t());
      case 64: return as(double());
      default: return (row[i * p.bits / 8] >> (8 - p.bits - i * p.bits % 8)) & ((1 << p.bits) - 1);
    }
  }

  // (height, width, samples), piece by piece: strips are tiles as wide as the image.
  std::vector<double> samples(const TiffPage& p) {
    TIFF* const t = tiff_.get();
    const uint32_t tile_w = p.tiled ? p.tile_width : p.width;
    const uint32_t tile_h = p.tiled ? p.tile_height : std::min(std::max(p.rows, 1u), p.height);
    const bool planes = p.planar == PLANARCONFIG_SEPARATE;
    const size_t in_piece = planes ? 1 : p.samples;
    const size_t row_bytes = (size_t(tile_w) * in_piece * p.bits + 7) / 8;
    const tmsize_t piece_bytes = p.tiled ? TIFFTileSize(t) : TIFFStripSize(t);
    if (piece_bytes <= 0 || piece_bytes > kMostBytesAtOnce || uint64_t(piece_bytes) < row_bytes * tile_h)
      stop();
    check_claim("image", name(), double(tile_w) * tile_h * double(in_piece), memory_.bytes.size());
    Bytes piece(static_cast<size_t>(piece_bytes));
    std::vector<double> out(size_t(p.height) * p.width * p.samples);
    uint32_t number_of_piece = 0;
    for (size_t plane = 0; plane < (planes ? p.samples : 1u); ++plane)
      for (uint32_t y = 0; y < p.height; y += tile_h)
        for (uint32_t x = 0; x < p.width; x += tile_w, ++number_of_piece) {
          const uint32_t rows = std::min(tile_h, p.height - y), columns = std::min(tile_w, p.width - x);
          const tmsize_t got = p.tiled ? TIFFReadEncodedTile(t, number_of_piece, piece.data(), piece_bytes)
                                       : TIFFReadEncodedStrip(t, number_of_piece, piece.data(), piece_bytes);
          if (got < tmsize_t(row_bytes * rows) || !memory_.error.empty()) stop();
          for (uint32_t r = 0; r < rows; ++r)
            for (size_t i = 0; i < columns * in_piece; ++i)
              out[(size_t(y + r) * p.width + x + i / in_piece) * p.samples + plane + i % in_piece] =
                  number(piece.data() + r * row_bytes, p, i);
        }
    return out;
  }

  TiffBytes memory_;
  std::unique_ptr<TIFF, void (*)(TIFF*)> tiff_;
};
}  // namespace

ImageInfo tiff_info(std::span<const uint8_t> bytes, const std::string& name) {
  TiffDecoder decoder(bytes, name);
  const int64_t pages = decoder.pages();
  const TiffPage p = decoder.page(Use::image);
  return {.height = p.height, .width = p.width, .channels = p.channels, .bits = p.bits, .depth = pages};
}

Grid read_tiff(std::span<const uint8_t> bytes, const std::string& name, Use use) {
  TiffDecoder decoder(bytes, name);
  Grid grid;
  grid.depth = decoder.pages();
  const TiffPage first = decoder.page(use);
  grid.height = first.height;
  grid.width = first.width;
  grid.channels = first.channels;
  check_claim("image", name, double(grid.numel()), bytes.size());
  for (int64_t z = 0; z < grid.depth; ++z) {
    const TiffPage p = decoder.page(use);
    if (p.height != first.height || p.width != first.width || p.channels != first.channels)
      fail(ExitCode::data, "image", name, ": page ", z + 1, " is ", p.width, "x", p.height,
          ", other than the first; pages are the slices of a volume, save an image alone");
    decoder.append(p, use, grid);
    if (z + 1 < grid.depth && !decoder.next())
      fail(ExitCode::data, "image", name, ": page ", z + 2, " cannot be read, it is damaged or truncated");
  }
  const bool bytes_only = first.bits <= 8 && first.format == SAMPLEFORMAT_UINT;
  if (bytes_only || TiffDecoder::is_palette(first)) grid.high = 255;
  else set_range_to_extremes(grid);
  return grid;
}

}  // namespace patchcl
