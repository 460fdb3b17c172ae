// TIFF: kinds of numbers, palettes, tiles, pages as slices.
#include <gtest/gtest.h>
#include <tiffio.h>

#include "data/formats/readers.h"
#include "data/formats/image.h"
#include "tests/command_line.h"

using namespace patchcl;
using namespace patchcl::test;

namespace {

// Pages of 3 rows of 5 numbers, counting up from 1; the last `copies` say that they are smaller ones of
// another.
template <class T> void write_pages(const std::string& path, int pages, uint16_t format, bool tiled = false,
    uint16_t photometric = PHOTOMETRIC_MINISBLACK, uint16_t samples = 1, int copies = 0) {
  TIFF* const t = TIFFOpen(path.c_str(), "w");
  for (int page = 0; page < pages; ++page) {
    if (page >= pages - copies) TIFFSetField(t, TIFFTAG_SUBFILETYPE, FILETYPE_REDUCEDIMAGE);
    TIFFSetField(t, TIFFTAG_IMAGEWIDTH, 5);
    TIFFSetField(t, TIFFTAG_IMAGELENGTH, 3);
    TIFFSetField(t, TIFFTAG_BITSPERSAMPLE, int(8 * sizeof(T)));
    TIFFSetField(t, TIFFTAG_SAMPLESPERPIXEL, samples);
    TIFFSetField(t, TIFFTAG_SAMPLEFORMAT, format);
    TIFFSetField(t, TIFFTAG_PHOTOMETRIC, photometric);
    TIFFSetField(t, TIFFTAG_COMPRESSION, COMPRESSION_LZW);
    TIFFSetField(t, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG);
    if (photometric == PHOTOMETRIC_PALETTE) {
      std::vector<uint16_t> red(256), other(256, 0x2000);
      for (size_t k = 0; k < 256; ++k) red[k] = uint16_t((255 - k) << 8);
      TIFFSetField(t, TIFFTAG_COLORMAP, red.data(), other.data(), other.data());
    }
    const auto value = [&](int y, int x) { return T(1 + page * 15 + y * 5 + x); };
    if (tiled) {
      TIFFSetField(t, TIFFTAG_TILEWIDTH, 16);
      TIFFSetField(t, TIFFTAG_TILELENGTH, 16);
      std::vector<T> tile(256);
      for (int y = 0; y < 3; ++y)
        for (int x = 0; x < 5; ++x) tile[size_t(y * 16 + x)] = value(y, x);
      TIFFWriteEncodedTile(t, 0, tile.data(), tmsize_t(tile.size() * sizeof(T)));
    } else {
      TIFFSetField(t, TIFFTAG_ROWSPERSTRIP, 2);
      for (int y = 0; y < 3; ++y) {
        std::vector<T> row;
        for (int x = 0; x < 5; ++x)
          for (int c = 0; c < samples; ++c) row.push_back(T(value(y, x) + 50 * c));
        TIFFWriteScanline(t, row.data(), uint32_t(y), 0);
      }
    }
    TIFFWriteDirectory(t);
  }
  TIFFClose(t);
}

class Tiff : public testing::Test {
 protected:
  void SetUp() override {
    write_pages<uint8_t>(path_, 1, SAMPLEFORMAT_UINT);
    try {
      image_info(path_);
    } catch (const Error& e) {
      GTEST_SKIP() << e.what();
    }
  }
  TemporaryFolder folder_;
  const std::string path_ = folder_ / "x.tif";
};

void expect_counting(const Grid& g, int64_t pages) {
  ASSERT_EQ(g.depth, pages);
  ASSERT_EQ(g.values.size(), size_t(15 * pages));
  for (size_t i = 0; i < g.values.size(); ++i) EXPECT_EQ(g.values[i], double(i + 1));
}

TEST_F(Tiff, SmallerCopiesOfAPageAreNoSlices) {
  for (const int copies : {1, 2}) {
    write_pages<uint8_t>(path_, 1 + copies, SAMPLEFORMAT_UINT, false, PHOTOMETRIC_MINISBLACK, 1, copies);
    EXPECT_EQ(image_info(path_).depth, 1);
    expect_counting(read_grid(path_), 1);
  }
}

TEST_F(Tiff, NumbersOfEveryKindInStripsAndTilesArePagesOfAVolume) {
  expect_counting(read_grid(path_), 1);
  EXPECT_EQ(read_grid(path_).high, 255);
  for (const bool tiled : {false, true}) {
    write_pages<uint16_t>(path_, 4, SAMPLEFORMAT_UINT, tiled);
    expect_counting(read_grid(path_), 4);
    EXPECT_EQ(read_grid(path_).high, 60);
    EXPECT_EQ(image_info(path_).depth, 4);
    write_pages<float>(path_, 2, SAMPLEFORMAT_IEEEFP, tiled);
    expect_counting(read_grid(path_), 2);
    write_pages<double>(path_, 2, SAMPLEFORMAT_IEEEFP, tiled);
    expect_counting(read_grid(path_), 2);
    write_pages<int16_t>(path_, 2, SAMPLEFORMAT_INT, tiled);
    expect_counting(read_grid(path_), 2);
  }
}

TEST_F(Tiff, ColourIsThreeChannelsAndAMasksPaletteItsIndices) {
  write_pages<uint8_t>(path_, 1, SAMPLEFORMAT_UINT, false, PHOTOMETRIC_RGB, 3);
  const Grid rgb = read_grid(path_);
  EXPECT_EQ(rgb.channels, 3);
  EXPECT_EQ(rgb.values[5], 102);
  write_pages<uint8_t>(path_, 1, SAMPLEFORMAT_UINT, false, PHOTOMETRIC_PALETTE);
  expect_counting(read_image(path_, Use::mask), 1);
  const Grid colours = read_image(path_, Use::image);
  EXPECT_EQ(colours.channels, 3);
  EXPECT_EQ(colours.values[3], 253);
  EXPECT_EQ(colours.values[4], 32);
}

TEST_F(Tiff, ABeginningIsRefusedByName) {
  write_pages<uint16_t>(path_, 2, SAMPLEFORMAT_UINT);
  const Bytes bytes = read_bytes(path_);
  for (size_t n = 8; n < bytes.size(); n += 7) {
    try {
      read_image(std::span(bytes).first(n), "scan.tif", Use::image);
      ADD_FAILURE() << n << " of " << bytes.size() << " bytes are read";
    } catch (const Error& e) {
      EXPECT_TRUE(e.code() == ExitCode::data && contains(e.what(), "scan.tif")) << e.what();
    }
  }
}

}  // namespace
