// Objects and their scores against tests/golden/gland_objects.json (make_gland_objects.py), and by hand.
#include "data/objects.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "train/evaluate/object_metrics.h"

using namespace patchcl;
using nlohmann::json;

namespace {

std::vector<int32_t> unpacked(const json& map) {
  std::vector<int32_t> numbers;
  std::istringstream runs(map["runs"].get<std::string>());
  char times;
  for (int32_t number, count; runs >> number >> times >> count;)
    numbers.insert(numbers.end(), size_t(count), number);
  return numbers;
}

MaskExtent extent_of(const json& map) { return {1, map["shape"][0], map["shape"][1]}; }

json golden() {
  std::ifstream file("tests/golden/gland_objects.json");
  return json::parse(file);
}

// A picture of digits as labels.
std::vector<uint8_t> labels(const std::vector<std::string>& rows) {
  std::vector<uint8_t> values;
  for (const std::string& row : rows)
    for (const char c : row) values.push_back(uint8_t(c == '.' ? 0 : c - '0'));
  return values;
}
std::string numbered(const std::vector<std::string>& rows, const ObjectOptions& options) {
  const std::vector<uint8_t> values = labels(rows);
  std::string text;
  for (const int32_t n :
      number_objects(values.data(), int64_t(rows.size()), int64_t(rows[0].size()), options))
    text += n == 0 ? '.' : char('0' + n);
  return text;
}
std::string joined(const std::vector<std::string>& rows) {
  std::string text;
  for (const std::string& row : rows) text += row;
  return text;
}

}  // namespace

TEST(ObjectMetrics, AreTheGoldenOnesPerImage) {
  const json j = golden();
  ASSERT_EQ(j["pairs"].size(), 13u);
  for (const json& pair : j["pairs"]) {
    const MaskExtent extent = extent_of(pair["prediction"]);
    const ObjectSums sums = sum_objects(unpacked(pair["prediction"]), unpacked(pair["reference"]), extent);
    const ObjectScores s = object_scores(sums);
    const std::string name = pair["name"];
    EXPECT_EQ((std::vector<int64_t>{sums.tp, sums.fp, sums.fn}), pair["counts"].get<std::vector<int64_t>>())
        << name;
    EXPECT_NEAR(s.f1, pair["f1"].get<double>(), 1e-6) << name;
    EXPECT_NEAR(s.dice, pair["dice"].get<double>(), 1e-6) << name;
    const bool infinite = pair["hausdorff"] == "inf";
    const double want =
        infinite ? std::hypot(extent.height - 1., extent.width - 1.) : pair["hausdorff"].get<double>();
    EXPECT_NEAR(s.hausdorff, want, 1e-6) << name;
  }
}

TEST(ObjectMetrics, AreTheGoldenOnesPooledAndAsMeans) {
  const json j = golden();
  std::vector<ObjectSummary::Image> images;
  for (const json& pair : j["pairs"])
    if (pair["name"].get<std::string>().starts_with("glas_crop"))
      images.push_back({pair["name"], sum_objects(unpacked(pair["prediction"]), unpacked(pair["reference"]),
                                          extent_of(pair["prediction"]))});
  ASSERT_EQ(images.size(), 3u);
  const ObjectSummary s = summarise_objects(images);
  for (const auto& [got, want] : {std::pair{s.pooled, j["pooled"]}, std::pair{s.mean, j["mean"]}}) {
    EXPECT_NEAR(got.f1, want["f1"].get<double>(), 1e-6);
    EXPECT_NEAR(got.dice, want["obj_dice"].get<double>(), 1e-6);
    EXPECT_NEAR(got.hausdorff, want["obj_hausdorff"].get<double>(), 1e-6);
  }
}

TEST(Objects, SmallOnesVanishAndTheOthersAreNumbered) {
  EXPECT_EQ(numbered({"11..2", ".1..2", "....."}, {.least = 1}), "11..2.1..2.....");
  EXPECT_EQ(numbered({"11..2", ".1..2", "....."}, {.least = 3}), "11....1........");
  // Corners connect; classes do not.
  EXPECT_EQ(numbered({"1..", ".1.", "..2"}, {.least = 1}), "1...1...2");
}

TEST(Objects, HolesOfOneObjectAreFilled) {
  const std::vector<std::string> ring{".....", ".111.", ".1.1.", ".111.", "....."};
  EXPECT_EQ(numbered(ring, {.least = 1}), joined({".....", ".111.", ".111.", ".111.", "....."}));
  EXPECT_EQ(numbered(ring, {.least = 1, .fill_holes = false}), joined(ring));
  const std::vector<std::string> two{"1122", "1..2", "1122"}, bay{"111", "1..", "111"};
  EXPECT_EQ(numbered(two, {.least = 1}), joined(two));
  EXPECT_EQ(numbered(bay, {.least = 1}), joined(bay));
}

TEST(Objects, BorderClassKeepsNeighboursApartAndGrowsBack) {
  const std::vector<std::string> touching{"2222222", "2122212", "2222222"};
  const ObjectOptions options{.least = 1, .border_class = 2, .border_width = 1};
  EXPECT_EQ(numbered(touching, options), joined({"111.222", "111.222", "111.222"}));
  ObjectOptions wide = options;
  wide.border_width = 2;
  EXPECT_EQ(numbered(touching, wide), joined({"1111222", "1111222", "1111222"}));
}

TEST(Objects, BorderClassIsWithinObjectsAndGrowsBackOverThem) {
  // Two touching rectangles; the image's edge is no border.
  const int64_t h = 9, w = 16, width = 2;
  std::vector<uint8_t> classes(size_t(h * w));
  std::vector<int32_t> numbers(size_t(h * w));
  for (int64_t y = 0; y < 7; ++y)
    for (int64_t x = 1; x < 15; ++x) {
      classes[size_t(y * w + x)] = 1;
      numbers[size_t(y * w + x)] = x < 8 ? 300 : 7;
    }
  std::vector<uint8_t> marked = classes;
  mark_border(marked.data(), numbers.data(), h, w, width, 2);
  for (int64_t y = 0; y < h; ++y)
    for (int64_t x = 0; x < w; ++x) {
      const int32_t own = numbers[size_t(y * w + x)];
      bool border = false;
      for (int64_t r = std::max<int64_t>(y - width, 0); r <= std::min(y + width, h - 1); ++r)
        for (int64_t c = std::max<int64_t>(x - width, 0); c <= std::min(x + width, w - 1); ++c)
          border = border || (own != 0 && numbers[size_t(r * w + c)] != own);
      EXPECT_EQ(marked[size_t(y * w + x)], border ? 2 : own != 0) << y << " " << x;
    }
  const ObjectOptions options{.least = 1, .border_class = 2, .border_width = width};
  const std::vector<int32_t> again = number_objects(marked.data(), h, w, options);
  for (size_t i = 0; i < again.size(); ++i) EXPECT_EQ(again[i], numbers[i] == 7 ? 2 : numbers[i] == 300) << i;
  grow_over_border(marked.data(), h, w, width, 2);
  EXPECT_EQ(marked, classes);
  std::vector<uint8_t> lost{0, 2, 2, 0};  // no object reaches it
  grow_over_border(lost.data(), 1, 4, 1, 2);
  EXPECT_EQ(lost, std::vector<uint8_t>(4));
}
