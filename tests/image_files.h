// Small files of every format, made by their libraries, and what readers say of them.
#pragma once
#include <gtest/gtest.h>
#include <lodepng.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <csignal>
#include <cstdio>
#include <jpeglib.h>
#include "data/formats/gzip.h"
#include "data/formats/image.h"
#include "data/formats/limits.h"
#include "data/formats/readers.h"
#include "tests/command_line.h"
#include "tests/small_data.h"
#include "train/setup/model_file.h"

namespace patchcl::test {

using Reader = void (*)(const Bytes& bytes);
inline void png(const Bytes& b) { read_image(b, "x", Use::image); }
inline void png_mask(const Bytes& b) { read_image(b, "x", Use::mask); }
inline void nifti(const Bytes& b) { read_nifti(b, "x"); }
inline void h5(const Bytes& b) {
  if (!read_h5(b, "x", "image")) fail(ExitCode::data, "h5", "x: no data set");
}
inline void tiff(const Bytes& b) { read_tiff(b, "x", Use::image); }
// Weights as `eval` takes them: the description of the network too.
inline void weights(const Bytes& b) {
  const Arena arena("test");
  get_model_info(parse_tensors(b, "x", arena), "x");
}

// What the reader says; empty when it reads the bytes. Anything but an Error(data) or Error(checkpoint)
// fails.
inline std::string refusal(Reader read, const Bytes& bytes) {
  try {
    read(bytes);
  } catch (const Error& e) {
    EXPECT_TRUE(e.code() == ExitCode::data || e.code() == ExitCode::checkpoint) << e.what();
    return e.what();
  }
  return "";
}

inline bool built_with(Reader read) {
  return refusal(read, Bytes{1, 2, 3}).find("built without") == std::string::npos;
}

inline Bytes encoded_jpeg(int h, int w, bool progressive) {
  jpeg_compress_struct c;
  jpeg_error_mgr errors;
  c.err = jpeg_std_error(&errors);
  jpeg_create_compress(&c);
  unsigned char* out = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&c, &out, &size);
  c.image_width = JDIMENSION(w);
  c.image_height = JDIMENSION(h);
  c.input_components = 3;
  c.in_color_space = JCS_RGB;
  jpeg_set_defaults(&c);
  jpeg_set_quality(&c, 95, TRUE);
  if (progressive) jpeg_simple_progression(&c);
  jpeg_start_compress(&c, TRUE);
  for (int y = 0; y < h; ++y) {
    Bytes row;
    for (int x = 0; x < w; ++x) row.insert(row.end(), {uint8_t(4 * x), uint8_t(4 * y), 128});
    JSAMPROW at = row.data();
    jpeg_write_scanlines(&c, &at, 1);
  }
  jpeg_finish_compress(&c);
  jpeg_destroy_compress(&c);
  const Bytes bytes(out, out + size);
  std::free(out);
  return bytes;
}

inline Bytes encoded_png(
    LodePNGColorType type, unsigned bits, const Bytes& raw, unsigned w, unsigned h, int colors = 0) {
  lodepng::State state;
  state.encoder.auto_convert = 0;
  state.info_raw.colortype = state.info_png.color.colortype = type;
  state.info_raw.bitdepth = state.info_png.color.bitdepth = bits;
  for (int k = 0; k < colors; ++k)
    for (LodePNGColorMode* mode : {&state.info_raw, &state.info_png.color})
      lodepng_palette_add(mode, uint8_t(200 - k), uint8_t(10 * k), 7, 255);
  Bytes out;
  EXPECT_EQ(lodepng::encode(out, raw, w, h, state), 0u);
  return out;
}

// Little-endian numbers of `bytes` bytes appended.
inline void put(Bytes& b, uint64_t v, int bytes) {
  for (int i = 0; i < bytes; ++i) b.push_back(uint8_t(v >> 8 * i));
}

// 2 rows of 3 pixels, 8 bits with a grey palette or 24 bits.
inline Bytes encoded_bmp(int bits) {
  Bytes b{'B', 'M'};
  const uint32_t palette = bits == 8 ? 256 * 4 : 0, row = bits == 8 ? 4 : 12;
  put(b, 54 + palette + 2 * row, 4);
  put(b, 0, 4);
  put(b, 54 + palette, 4);
  for (const uint64_t v : {40, 3, 2}) put(b, v, 4);
  put(b, 1, 2);
  put(b, uint64_t(bits), 2);
  for (int i = 0; i < 6; ++i) put(b, 0, 4);
  for (uint32_t k = 0; k < palette / 4; ++k) put(b, k * 0x010101, 4);
  for (uint32_t i = 0; i < 2 * row; ++i) b.push_back(uint8_t(10 * i));
  return b;
}

// An unpacked TIFF page of 8 bits, one strip; `next` is where the file says that the next page is.
inline Bytes encoded_tiff(uint32_t w, uint32_t h, uint32_t samples, const Bytes& pixels, uint32_t next = 0) {
  const uint32_t packed = 1, photometric = samples == 3 ? 2 : 1, offset = 8 + 2 + 9 * 12 + 4;
  Bytes b{'I', 'I', 42, 0, 8, 0, 0, 0, 9, 0};
  for (const auto& [tag, value] :
      {std::pair{256u, w}, {257u, h}, {258u, 8u}, {259u, packed}, {262u, photometric}, {273u, offset},
          {277u, samples}, {278u, h}, {279u, uint32_t(pixels.size())}}) {
    put(b, tag, 2);
    put(b, tag == 258 || tag == 259 || tag == 262 || tag == 277 ? 3 : 4, 2);  // u16 or u32
    put(b, 1, 4);
    put(b, value, 4);
  }
  put(b, next, 4);
  b.insert(b.end(), pixels.begin(), pixels.end());
  return b;
}

inline Bytes written(const TemporaryFolder& folder, const std::string& name) {
  const auto image = smooth_image(2, 9, 8, 3);
  const auto label = square_label(2, 9, 8, 3);
  if (name.ends_with(".h5")) write_h5(folder / name, {2, 9, 8}, &image, &label);
  else write_nifti(folder / name, grid_of(2, 9, 8, image), NiftiType::f32);
  return read_bytes(folder / name);
}

}  // namespace patchcl::test
