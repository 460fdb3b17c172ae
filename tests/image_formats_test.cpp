// What the readers of pictures make of every kind of file, and what a full disk leaves.
#include "tests/image_files.h"

using namespace patchcl;
using namespace patchcl::test;

namespace {

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
