// PNG, JPEG, BMP and TIFF in, PNG out. PNG is lodepng's, JPEG libjpeg-turbo's, TIFF libtiff's, BMP
// stb_image's behind a header check; any warning of theirs is an error here, because a half-read image trains
// in silence.
#pragma once
#include <span>
#include <string>

#include "data/grid.h"
#include "tensor/file.h"

namespace patchcl {

struct ImageInfo {
  int64_t height = 0, width = 0, channels = 1;  // 1 grey, 3 colour; an alpha channel is not counted
  int bits = 8;                                 // of a number
  int64_t depth = 1;                            // pages of a TIFF: slices of a volume
};

// What the numbers stand for. A mask holds class numbers: those of a PNG with a palette are the indices (with
// the colours beside them), those of a grey PNG of 1, 2 or 4 bits are the stored ones; an image has the
// palette's colours and goes up to 255. JPEG changes numbers and is refused as a mask.
enum class Use { image, mask };

// Reads the header only. Error(data) naming the file when it is none of the formats or implausibly
// large.
ImageInfo image_info(const std::string& path);
// Of 8 bits with low 0 and high 255, of more (and of float) with the extremes. Alpha is dropped.
Grid read_image(const std::string& path, Use use = Use::image);

// The formats one by one, from memory; `name` is what messages call the file. `bytes` of *_info may end
// early.
Grid read_image(std::span<const uint8_t> bytes, const std::string& name, Use use);
ImageInfo png_info(std::span<const uint8_t> bytes, const std::string& name);
ImageInfo jpeg_info(std::span<const uint8_t> bytes, const std::string& name);
ImageInfo bmp_info(std::span<const uint8_t> bytes, const std::string& name);
// Without the library (TIFF=0) both throw Error(data) that says so; wants all bytes.
ImageInfo tiff_info(std::span<const uint8_t> bytes, const std::string& name);
Grid read_png(std::span<const uint8_t> bytes, const std::string& name, Use use);
Grid read_jpeg(std::span<const uint8_t> bytes, const std::string& name, Use use);
Grid read_bmp(std::span<const uint8_t> bytes, const std::string& name, Use use);
Grid read_tiff(std::span<const uint8_t> bytes, const std::string& name, Use use);

// The file that values (h,w,channels) of 8 bits make, grey or RGB.
Bytes png_of(const uint8_t* values, int64_t h, int64_t w, int64_t channels);
// values (h,w,channels) of 8 or 16 bits, grey or RGB. Error(io) naming the path.
void write_png(const std::string& path, const uint8_t* values, int64_t h, int64_t w, int64_t channels);
void write_png(const std::string& path, const uint16_t* values, int64_t h, int64_t w, int64_t channels);

}  // namespace patchcl
