// Masks with a palette: what their colours mean, and files whose palettes differ.
#include <gtest/gtest.h>
#include <lodepng.h>

#include "data/layouts/check.h"
#include "data/stream/dataset.h"
#include "tests/command_line.h"
#include "tests/small_data.h"

using namespace patchcl;
using namespace patchcl::test;

namespace {

constexpr unsigned kHigh = 8, kWide = 12;
using Colors = std::vector<std::vector<uint8_t>>;
const Colors kRedFirst{{0, 0, 0}, {255, 0, 0}, {0, 255, 0}}, kGreenFirst{{0, 0, 0}, {0, 255, 0}, {255, 0, 0}};

// The left third is 0, the middle one 1, the right one `last`.
void put_mask(const std::string& path, const Colors& palette, uint8_t last) {
  lodepng::State state;
  state.encoder.auto_convert = 0;
  for (LodePNGColorMode* mode : {&state.info_raw, &state.info_png.color}) {
    mode->colortype = LCT_PALETTE;
    mode->bitdepth = 8;
    for (const auto& c : palette) lodepng_palette_add(mode, c[0], c[1], c[2], 255);
  }
  Bytes pixels, file;
  for (unsigned i = 0; i < kHigh * kWide; ++i) {
    const unsigned third = i % kWide * 3 / kWide;
    pixels.push_back(third == 2 ? last : uint8_t(third));
  }
  ASSERT_EQ(lodepng::encode(file, pixels, kWide, kHigh, state), 0u);
  write_bytes(path, file);
}

// Pictures "a" to "d" with masks of three classes, all red first but that of "b".
void put_set(const std::string& dir, const Colors& of_b, uint8_t last = 2) {
  for (const char* sub : {"/images", "/masks"}) std::filesystem::create_directories(dir + sub);
  for (const std::string name : {"a", "b", "c", "d"}) {
    std::vector<uint8_t> grey;
    for (unsigned i = 0; i < kHigh * kWide; ++i) grey.push_back(uint8_t(i * 7));
    write_png(dir + "/images/" + name + ".png", grey.data(), kHigh, kWide, 1);
    put_mask(dir + "/masks/" + name + ".png", name == "b" ? of_b : kRedFirst, name == "b" ? last : 2);
  }
}

std::string refusal(const std::string& dir, const DatasetOptions& options) {
  try {
    const Dataset data = Dataset::open(dir, options);
    for (int64_t i = 0; i < data.items(); ++i) data.item(i);
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::data);
    return e.what();
  }
  return "";
}

TEST(Palettes, ThatDifferAreRefusedWithTheOptionThatHelps) {
  const TemporaryFolder folder;
  put_set(folder.path(), kGreenFirst);
  const std::string advice = "--label-colors \"0,0,0;255,0,0;0,255,0\"";
  // Where the classes are known the masks are read one by one.
  for (const int64_t classes : {0, 3}) {
    const std::string why = refusal(folder.path(), {.validation = 0, .classes = classes});
    EXPECT_TRUE(contains(why, "b.png: 1 is the colour 0,255,0 in its palette and 255,0,0 in that of")) << why;
    EXPECT_TRUE(contains(why, "a.png") && contains(why, advice)) << why;
  }
  const DataReport r = check_data(folder.path());
  ASSERT_EQ(r.problems.size(), 1u);
  EXPECT_TRUE(contains(r.problems[0], advice)) << r.problems[0];
}

TEST(Palettes, ThatDifferWhereNoPixelIsAreTaken) {
  const TemporaryFolder folder;
  put_set(folder.path(), {{0, 0, 0}, {255, 0, 0}, {9, 9, 9}}, /*last=*/1);
  EXPECT_EQ(refusal(folder.path(), {.validation = 0}), "");
  EXPECT_EQ(refusal(folder.path(), {.validation = 0, .read = {.group = {}, .instance_masks = true}}), "");
}

TEST(Palettes, AreNumberedByTheirColours) {
  const TemporaryFolder folder;
  put_set(folder.path(), kGreenFirst);
  const ReadOptions read{.label_colors = "0,0,0;0,255,0;255,0,0", .group = {}};
  EXPECT_EQ(check_data(folder.path(), read).problems, std::vector<std::string>{});
  const Dataset data = Dataset::open(folder.path(), {.validation = 0, .read = read});
  for (int64_t i = 0; i < data.items(); ++i) {
    const Slice s = data.item(i);
    EXPECT_EQ(s.label[kWide / 2], s.id == "b" ? 1 : 2) << s.id;
    EXPECT_EQ(s.label[kWide - 1], s.id == "b" ? 2 : 1) << s.id;
  }
  const std::string why =
      refusal(folder.path(), {.validation = 0, .read = {.label_colors = "0,0,0;0,255,0", .group = {}}});
  EXPECT_TRUE(contains(why, "a.png: 255,0,0 in a mask is not among the 2 of --label-colors")) << why;
}

TEST(Palettes, ANumberBeyondOneIsRefused) {
  const TemporaryFolder folder;
  put_set(folder.path(), kRedFirst, /*last=*/3);
  const ReadOptions colors{.label_colors = "0,0,0;255,0,0;0,255,0", .group = {}};
  for (const ReadOptions& read : {ReadOptions{}, colors}) {
    const std::string why = refusal(folder.path(), {.validation = 0, .read = read});
    EXPECT_TRUE(contains(why, "b.png: ")) << why;
  }
}

}  // namespace
