// PNG, JPEG and BMP in, PNG out. Decoding is stb_image's, with only these three decoders compiled; structure,
// sizes and PNG checksums are verified before it sees a byte.
#pragma once
#include <string>

#include "data/grid.h"

namespace patchcl {

struct ImageInfo {
  int64_t height = 0, width = 0, channels = 1;  // 1 grey, 3 colour; an alpha channel is not counted
  int bits = 8;                                 // 8 or 16
};

// Reads the header only. Error(data) naming the file when it is none of the three formats or implausibly
// large.
ImageInfo image_info(const std::string& path);
// Values 0..255 with low 0 and high 255, or 0..65535 with the extremes. Alpha is dropped.
Grid read_image(const std::string& path);

// values (h,w,channels) of 8 or 16 bits. Error(io) naming the path.
void write_png(const std::string& path, const uint8_t* values, int64_t h, int64_t w, int64_t channels);
void write_png(const std::string& path, const uint16_t* values, int64_t h, int64_t w, int64_t channels);

}  // namespace patchcl
