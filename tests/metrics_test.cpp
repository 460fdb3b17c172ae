// Metrics against tests/golden/metrics.json (made by make_metrics.py from all pairs of surface voxels).
#include "train/evaluate/metrics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

using namespace patchcl;
using nlohmann::json;

namespace {

std::vector<uint8_t> mask(const json& digits) {
  std::vector<uint8_t> m;
  for (char d : digits.get<std::string>()) m.push_back(uint8_t(d - '0'));
  return m;
}

void expect_value(double got, const json& want, const std::string& what) {
  if (want.is_null()) EXPECT_TRUE(std::isnan(got)) << what << " is " << got;
  else EXPECT_NEAR(got, want.get<double>(), 1e-9) << what;
}

}  // namespace

TEST(Metrics, AgreeWithTheBruteForceCases) {
  std::ifstream file("tests/golden/metrics.json");
  const json cases = json::parse(file);
  const std::pair<EmptyRule, const char*> rules[] = {
      {EmptyRule::nan, "nan"}, {EmptyRule::zero, "zero"}, {EmptyRule::penalty, "penalty"}};
  const std::pair<Spacing, const char*> units[] = {{Spacing::voxel, "voxel"}, {Spacing::mm, "mm"}};
  ASSERT_GE(cases.size(), 30u);
  for (const json& c : cases) {
    const std::vector<uint8_t> p = mask(c["prediction"]), r = mask(c["reference"]);
    const MaskExtent extent{c["shape"][0], c["shape"][1], c["shape"][2], c["spacing"]};
    for (const auto& [unit, unit_name] : units)
      for (const auto& [rule, rule_name] : rules) {
        const Scores s = score(p.data(), r.data(), 1, extent, {unit, rule});
        const json& want = c[unit_name][rule_name];
        const std::string at = c["name"].get<std::string>() + ", " + unit_name + ", " + rule_name + ": ";
        expect_value(s.dice, want[0], at + "Dice");
        expect_value(s.jaccard, want[1], at + "Jaccard");
        expect_value(s.hd95, want[2], at + "HD95");
        expect_value(s.asd, want[3], at + "ASD");
      }
  }
}

TEST(Metrics, AreThoseOfTheClassAlone) {
  const std::vector<uint8_t> p{0, 1, 1, 2, 2, 3}, r{1, 1, 2, 2, 2, 0};
  const MaskExtent extent{1, 2, 3};
  const CaseScores all = score_case("x", p.data(), r.data(), 4, extent, {});
  ASSERT_EQ(all.classes.size(), 3u);
  EXPECT_DOUBLE_EQ(all.classes[0].dice, 0.5);
  EXPECT_DOUBLE_EQ(all.classes[1].dice, 0.8);
  EXPECT_EQ(all.classes[2].dice, 0);
  EXPECT_TRUE(std::isnan(all.classes[2].hd95));
}

TEST(Metrics, DistanceTransformIsExactOnAnisotropicGrids) {
  const MaskExtent g{3, 5, 4, {2.5, 0.5, 1.25}};
  std::vector<uint8_t> site(60);
  site[7] = site[33] = site[58] = 1;
  const std::vector<double> got = squared_distances(site, g);
  for (int64_t i = 0; i < 60; ++i) {
    double best = INFINITY;
    for (int64_t j = 0; j < 60; ++j) {
      if (!site[j]) continue;
      const double dz = 2.5 * double(i / 20 - j / 20), dy = 0.5 * double(i / 4 % 5 - j / 4 % 5);
      const double dx = 1.25 * double(i % 4 - j % 4);
      best = std::min(best, dz * dz + dy * dy + dx * dx);
    }
    EXPECT_NEAR(got[i], best, 1e-12) << i;
  }
  EXPECT_TRUE(std::isinf(squared_distances(std::vector<uint8_t>(60), g)[0]));
}

TEST(Metrics, MeansRunOverCasesThenClassesAndLeaveUndefinedValuesOut) {
  const Scores a{0.5, 0.4, 2, 1}, b{0.7, 0.6, NAN, NAN}, c{0.9, 0.8, 6, 3}, d{0, 0, NAN, NAN};
  const Summary s = summarise({{"one", {a, b}}, {"two", {c, d}}});
  EXPECT_DOUBLE_EQ(s.classes[0].dice, 0.7);
  EXPECT_DOUBLE_EQ(s.classes[1].dice, 0.35);
  EXPECT_DOUBLE_EQ(s.classes[0].hd95, 4);
  EXPECT_TRUE(std::isnan(s.classes[1].hd95));
  EXPECT_DOUBLE_EQ(s.mean.dice, 0.525);
  EXPECT_DOUBLE_EQ(s.mean.hd95, 4);
  EXPECT_EQ(s.undefined, 4);
}

TEST(Metrics, CountsOfVoxelsGiveFurtherScores) {
  const std::vector<uint8_t> p{0, 1, 1, 2, 2, 0}, r{1, 1, 2, 2, 2, 0}, none{0, 0, 0, 0, 0, 0};
  const MaskExtent extent{1, 2, 3};
  const CaseScores one = score_case("one", p.data(), r.data(), 3, extent, {}),
                   two = score_case("two", p.data(), none.data(), 3, extent, {});
  EXPECT_DOUBLE_EQ(one.accuracy, 4 / 6.);
  EXPECT_DOUBLE_EQ(one.counts[0].sensitivity(), 1 / 2.);
  EXPECT_DOUBLE_EQ(one.counts[0].specificity(), 3 / 4.);
  EXPECT_DOUBLE_EQ(one.counts[1].sensitivity(), 2 / 3.);
  EXPECT_DOUBLE_EQ(one.counts[1].specificity(), 1);
  EXPECT_TRUE(std::isnan(two.counts[0].sensitivity()));
  EXPECT_DOUBLE_EQ(two.counts[0].specificity(), 4 / 6.);
  const Summary s = summarise({one, two});
  EXPECT_DOUBLE_EQ(s.counts[0].dice(), 2 / (2 + 3 + 1.));
  EXPECT_DOUBLE_EQ(s.counts[1].dice(), 4 / (4 + 2 + 1.));
  EXPECT_DOUBLE_EQ(s.accuracy, (4 / 6. + 2 / 6.) / 2);
}
