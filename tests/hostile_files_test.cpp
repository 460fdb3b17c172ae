// Files that are damaged, lie about their size, or were made to break a reader: each reader refuses them by
// name and takes no memory for what they only claim. tests/hostile holds those that once did break it.
#include <gtest/gtest.h>
#include <lodepng.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <jpeglib.h>

#include "data/formats/gzip.h"
#include "data/formats/limits.h"
#include "data/formats/readers.h"
#include "tests/command_line.h"
#include "tests/small_data.h"
#include "train/setup/model_file.h"

#ifdef __SANITIZE_ADDRESS__
// HDF5 forgets some of its own memory when it gives a damaged file up.
extern "C" const char* __lsan_default_suppressions() { return "leak:libhdf5"; }
#endif

using namespace patchcl;
using namespace patchcl::test;

namespace {

using Reader = void (*)(const Bytes& bytes);
void png(const Bytes& b) { read_image(b, "x", Use::image); }
void png_mask(const Bytes& b) { read_image(b, "x", Use::mask); }
void nifti(const Bytes& b) { read_nifti(b, "x"); }
void h5(const Bytes& b) {
  if (!read_h5(b, "x", "image")) fail(ExitCode::data, "h5", "x: no data set");
}
// Weights as `eval` takes them: the description of the network too.
void weights(const Bytes& b) {
  const Arena arena("test");
  get_model_info(parse_tensors(b, "x", arena), "x");
}

// What the reader says; empty when it reads the bytes. Anything but an Error(data) or Error(checkpoint)
// fails.
std::string refusal(Reader read, const Bytes& bytes) {
  try {
    read(bytes);
  } catch (const Error& e) {
    EXPECT_TRUE(e.code() == ExitCode::data || e.code() == ExitCode::checkpoint) << e.what();
    return e.what();
  }
  return "";
}

bool built_with(Reader read) {
  return refusal(read, Bytes{1, 2, 3}).find("built without") == std::string::npos;
}

Bytes encoded_jpeg(int h, int w, bool progressive) {
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

Bytes encoded_png(
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
void put(Bytes& b, uint64_t v, int bytes) {
  for (int i = 0; i < bytes; ++i) b.push_back(uint8_t(v >> 8 * i));
}

// 2 rows of 3 pixels, 8 bits with a grey palette or 24 bits.
Bytes encoded_bmp(int bits) {
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

Bytes written(const TemporaryFolder& folder, const std::string& name) {
  const auto image = smooth_image(2, 9, 8, 3);
  const auto label = square_label(2, 9, 8, 3);
  if (name.ends_with(".h5")) write_h5(folder / name, {2, 9, 8}, &image, &label);
  else write_nifti(folder / name, grid_of(2, 9, 8, image), NiftiType::f32);
  return read_bytes(folder / name);
}

struct Sample {
  const char* name;
  Reader read;
  Bytes (*make)(const TemporaryFolder&);
};
const Sample kSamples[] = {
    {"png", png, [](const TemporaryFolder&) { return encoded_png(LCT_RGB, 8, Bytes(9 * 8 * 3, 77), 8, 9); }},
    {"png_palette", png_mask,
        [](const TemporaryFolder&) { return encoded_png(LCT_PALETTE, 2, Bytes(18, 0x1b), 8, 9, 4); }},
    {"jpeg", png, [](const TemporaryFolder&) { return encoded_jpeg(20, 24, false); }},
    {"jpeg_progressive", png, [](const TemporaryFolder&) { return encoded_jpeg(20, 24, true); }},
    {"bmp", png, [](const TemporaryFolder&) { return encoded_bmp(24); }},
    {"bmp_palette", png, [](const TemporaryFolder&) { return encoded_bmp(8); }},
    {"nii", nifti, [](const TemporaryFolder& f) { return written(f, "a.nii"); }},
    {"nii_gz", nifti, [](const TemporaryFolder& f) { return written(f, "a.nii.gz"); }},
    {"h5", h5, [](const TemporaryFolder& f) { return written(f, "a.h5"); }},
};

class Hostile : public testing::TestWithParam<Sample> {
 protected:
  void SetUp() override {
    if (!built_with(GetParam().read)) GTEST_SKIP() << "built without the library";
    bytes_ = GetParam().make(folder_);
    ASSERT_EQ(refusal(GetParam().read, bytes_), "");
  }
  TemporaryFolder folder_;
  Bytes bytes_;
};
INSTANTIATE_TEST_SUITE_P(Files, Hostile, testing::ValuesIn(kSamples),
    [](const auto& info) { return std::string(info.param.name); });

TEST_P(Hostile, EveryBeginningIsRefused) {
  for (size_t n = 0; n < bytes_.size(); ++n)
    EXPECT_NE(refusal(GetParam().read, Bytes(bytes_.begin(), bytes_.begin() + std::ptrdiff_t(n))), "")
        << n << " of " << bytes_.size() << " bytes";
}

TEST_P(Hostile, AChangedByteIsReadOrRefused) {
  const size_t step = bytes_.size() / 4096 + 1;
  for (size_t i = 0; i < bytes_.size(); i += step)
    for (const uint8_t flip : {0x01, 0x80, 0xff}) {
      Bytes changed = bytes_;
      changed[i] ^= flip;
      refusal(GetParam().read, changed);
    }
}

// Reads in a child that may take 160 MB more than there is, and returns how the child ended.
int ends_within_memory(Reader read, const Bytes& bytes) {
  const pid_t child = fork();
  if (child == 0) {
    std::ifstream statm("/proc/self/statm");
    rlim_t pages = 0;
    statm >> pages;
    const rlim_t most = pages * rlim_t(sysconf(_SC_PAGESIZE)) + (rlim_t(160) << 20);
    const rlimit limit{most, most};
    setrlimit(RLIMIT_AS, &limit);
    try {
      read(bytes);
    } catch (const Error& e) {
      _exit(int(e.code()));
    } catch (const std::bad_alloc&) {
      _exit(8);
    }
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

TEST(HostileFiles, ThoseOfTheFolderAreRefusedWithoutMemoryForTheirClaims) {
  const std::pair<const char*, Reader> files[] = {{"huffman-overflow.jpg", png},
      {"table-never-defined.jpg", png}, {"631-bytes-7-GB.jpg", png}, {"352-bytes-19-GB.nii", nifti},
      {"1400-bytes-17-GB.h5", h5}, {"compact-overread-segv.h5", h5}, {"compact-overread-leak.h5", h5},
      {"tiny.safetensors", weights}};
  for (const auto& [name, read] : files) {
    if (!built_with(read)) continue;
    const Bytes bytes = read_bytes(std::string("tests/hostile/") + name);
#ifdef __SANITIZE_ADDRESS__  // which takes terabytes of addresses for itself
    EXPECT_NE(refusal(read, bytes), "") << name;
#else
    EXPECT_EQ(ends_within_memory(read, bytes), read == weights ? 6 : 3) << name;
#endif
  }
}

TEST(HostileFiles, AClaimIsComparedWithTheFileAndWithTheLimit) {
  const auto said = [](double values, uint64_t stored) -> std::string {
    try {
      check_claim("test", "x", values, stored);
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_EQ(said(1 << 22, 100), "") << "a small empty mask";
  EXPECT_NE(said((1 << 22) + 1, 100).find("cannot hold"), std::string::npos);
  EXPECT_EQ(said(1032e4, 10000), "");
  EXPECT_NE(said(0, 100).find("wants 1 to"), std::string::npos);
  EXPECT_NE(said(double(int64_t(1) << 30), uint64_t(1) << 40).find("cut it into parts"), std::string::npos);
  set_largest_image(uint64_t(1) << 20);
  EXPECT_NE(
      refusal(png, encoded_png(LCT_GREY, 8, Bytes(400 * 400), 400, 400)).find("160000"), std::string::npos);
  set_largest_image(uint64_t(4) << 30);
}

TEST(HostileFiles, AnImageThatUnpacksToMoreThanItsSizeIsRefused) {
  // IHDR says 1x1, IDAT holds 400x400: the checksum of IHDR is mended.
  Bytes bytes = encoded_png(LCT_GREY, 8, Bytes(400 * 400), 400, 400);
  for (const size_t at : {16, 20}) std::fill_n(bytes.begin() + std::ptrdiff_t(at), 4, uint8_t(0));
  bytes[19] = bytes[23] = 1;
  lodepng_chunk_generate_crc(&bytes[8]);
  EXPECT_NE(refusal(png, bytes), "");
}

TEST(Formats, PngOfEveryDepthIsReadAsImageAndAsMask) {
  const Bytes two_bits(18, 0x1b);  // 0 1 2 3 0 1 2 3 in every row
  const Bytes grey = encoded_png(LCT_GREY, 2, two_bits, 8, 9);
  EXPECT_EQ(read_image(grey, "x", Use::image).values[2], 170);
  EXPECT_EQ(read_image(grey, "x", Use::mask).values[2], 2);
  const Bytes palette = encoded_png(LCT_PALETTE, 2, two_bits, 8, 9, 4);
  const Grid colours = read_image(palette, "x", Use::image), indices = read_image(palette, "x", Use::mask);
  EXPECT_EQ(colours.channels, 3);
  EXPECT_EQ((std::vector<double>(colours.values.begin() + 6, colours.values.begin() + 9)),
      (std::vector<double>{198, 20, 7}));
  EXPECT_EQ(indices.channels, 1);
  EXPECT_EQ((std::vector<double>(indices.values.begin() + 8, indices.values.begin() + 12)),
      (std::vector<double>{0, 1, 2, 3}));
  const Grid alpha = read_image(encoded_png(LCT_GREY_ALPHA, 8, {9, 255, 5, 0}, 2, 1), "x", Use::image);
  EXPECT_EQ(alpha.values, (std::vector<double>{9, 5}));
  const Grid deep =
      read_image(encoded_png(LCT_GREY_ALPHA, 16, {1, 2, 255, 255, 3, 4, 0, 0}, 2, 1), "x", Use::image);
  EXPECT_EQ(deep.values, (std::vector<double>{258, 772}));
  EXPECT_EQ(deep.high, 772);
  const Grid rgba = read_image(encoded_png(LCT_RGBA, 8, {1, 2, 3, 255, 4, 5, 6, 0}, 2, 1), "x", Use::mask);
  EXPECT_EQ(rgba.values, (std::vector<double>{1, 2, 3, 4, 5, 6}));
}

TEST(Formats, JpegAndBmpGiveTheirColours) {
  for (const bool progressive : {false, true}) {
    const Grid g = read_image(encoded_jpeg(20, 24, progressive), "x", Use::image);
    ASSERT_EQ(g.size_text(), "20x24, 3 channels");
    for (int64_t i = 0; i < 20 * 24; ++i) {
      EXPECT_NEAR(g.values[size_t(3 * i)], double(4 * (i % 24)), 12) << i;
      EXPECT_NEAR(g.values[size_t(3 * i + 1)], double(4 * (i / 24)), 12) << i;
    }
  }
  EXPECT_NE(refusal(png_mask, encoded_jpeg(8, 8, false)).find("save the masks as PNG"), std::string::npos);
  const Grid grey = read_image(encoded_bmp(8), "x", Use::image),
             rgb = read_image(encoded_bmp(24), "x", Use::image);
  EXPECT_EQ(grey.values[0], 40) << "the last row of the file is the first of the picture";
  EXPECT_EQ((std::vector<double>(rgb.values.begin(), rgb.values.begin() + 3)),
      (std::vector<double>{140, 130, 120}));
}

TEST(Formats, ValuesThatCannotBeNormalisedAndNanLabelsAreNamed) {
  const auto said = [](const Grid& image) -> std::string {
    try {
      for (const float v : normalized(image, "x"))
        if (!(v >= 0 && v <= 1)) return "outside of [0,1]";
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  const auto ramp = [](double low, double high) {
    Grid g = grid_of(1, 1, 3, {low, (low + high) / 2, high});
    set_range_to_extremes(g);
    return g;
  };
  EXPECT_EQ(said(ramp(-3e38, 3e38)), "");
  EXPECT_EQ(said(ramp(5, 5)), "");
  EXPECT_NE(said(ramp(-1.7e308, 1.7e308)).find("too far apart"), std::string::npos);
  EXPECT_NE(said(ramp(0, 1e-310)).find("too close"), std::string::npos);
  try {
    to_label(grid_of(1, 1, 2, {0, std::nan("")}), "mask.nii");
    ADD_FAILURE() << "a label of nan went through";
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("mask.nii: label nan at slice 0 row 0 column 1"), std::string::npos)
        << e.what();
  }
}

TEST(Formats, AFullDiskLeavesTheOldFileWhateverTheFormat) {
  TemporaryFolder folder;
  const std::vector<double> image(64 * 64, 0.25);
  const std::vector<uint8_t> label(64 * 64);
  const auto write = [&](const std::string& name) {
    if (name.ends_with(".h5")) write_h5(folder / name, {64, 64}, &image, &label);
    else if (name.ends_with(".png")) write_png(folder / name, label.data(), 64, 64, 1);
    else write_nifti(folder / name, grid_of(1, 64, 64, image), NiftiType::f64);
  };
  for (const std::string name : {"a.h5", "a.png", "a.nii", "a.nii.gz"}) {
    if (!name.ends_with(".png") && !built_with(name.ends_with(".h5") ? h5 : nifti)) continue;
    write_file(folder / name, "old");
    rlimit before{};
    getrlimit(RLIMIT_FSIZE, &before);
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    const rlimit small{64, before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
    try {
      write(name);
      ADD_FAILURE() << name << " was written beyond the limit";
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::io) << e.what();
    }
    setrlimit(RLIMIT_FSIZE, &before);
    std::signal(SIGXFSZ, handler);
    EXPECT_EQ(read_bytes(folder / name), (Bytes{'o', 'l', 'd'}));
    EXPECT_FALSE(std::filesystem::exists(folder / (name + ".tmp")));
    write(name);
    EXPECT_GT(file_size(folder / name), 3u);
  }
}

TEST(Formats, GzipOfSeveralStreamsAndPaddingIsOneContent) {
  Bytes wanted(5000, 'a');
  Bytes all = gzip(wanted);
  for (const uint8_t byte : gzip(Bytes(3000, 'b'))) all.push_back(byte);
  all.resize(all.size() + 20);
  wanted.resize(8000, 'b');
  EXPECT_EQ(gunzip(all, 1 << 20, "x"), wanted);
  EXPECT_EQ(gunzip(all, 10, "x"), Bytes(10, 'a'));
}

}  // namespace
