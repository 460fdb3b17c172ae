// The area filter: which patches stay, and where its threshold goes.
#include "train/methods/area_filter.h"

#include <gtest/gtest.h>

#include "tensor/random.h"

using namespace patchcl;

namespace {

// Areas uniform in (0,1), 20 a step, as in METHODS 1.5.
double keep_rate(AreaFilterMode mode, double* threshold, bool* keeps_large) {
  AreaFilter filter(mode, 1);
  Rng rng(2);
  double kept = 0, total = 0;
  for (int step = 0; step < 4000; ++step) {
    std::vector<float> areas(20);
    for (float& a : areas) a = float(rng.uniform());
    const std::vector<bool> stays = filter.keep(0, areas);
    if (step < 2000) continue;
    for (size_t i = 0; i < 20; ++i) {
      kept += stays[i];
      ++total;
      if (areas[i] > 0.9f) *keeps_large = stays[i];
    }
  }
  *threshold = filter.threshold(0);
  return kept / total;
}

}  // namespace

TEST(AreaFilter, CorrectedKeepsTheLargestFourFifths) {
  double threshold;
  bool keeps_large = false;
  EXPECT_NEAR(keep_rate(AreaFilterMode::corrected, &threshold, &keeps_large), 0.8, 0.01);
  EXPECT_NEAR(threshold, 0.2, 0.02);
  EXPECT_TRUE(keeps_large);
}

TEST(AreaFilter, AsReleasedKeepsTheSmallest) {
  double threshold;
  bool keeps_large = true;
  EXPECT_GT(keep_rate(AreaFilterMode::released, &threshold, &keeps_large), 0.7);
  EXPECT_GT(threshold, 0.7);
  EXPECT_FALSE(keeps_large);
}

TEST(AreaFilter, ClassWithoutPatchesKeepsItsThreshold) {
  AreaFilter filter(AreaFilterMode::corrected, 2);
  EXPECT_TRUE(filter.keep(1, {}).empty());
  EXPECT_EQ(filter.threshold(1), 0.5);
}

TEST(AreaFilter, StateSurvivesAFile) {
  AreaFilter a(AreaFilterMode::corrected, 2), b(AreaFilterMode::corrected, 2);
  a.keep(0, {0.1f, 0.7f, 0.9f});
  TensorFile file;
  a.save(file);
  b.load(file);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(a.keep(0, {0.3f, 0.6f}), b.keep(0, {0.3f, 0.6f}));
  EXPECT_EQ(a.threshold(0), b.threshold(0));
  AreaFilter other(AreaFilterMode::corrected, 3);
  EXPECT_THROW(other.load(file), Error);
}

// Ten patches of which none stays move the threshold by 0.01/a 8, a = 1, 1, 2, 3: the release counts from 0.
TEST(AreaFilter, AsReleasedCountsItsUpdatesFromZero) {
  AreaFilter filter(AreaFilterMode::released, 1, 0.8, 0.01);
  double want = 0.01;
  for (const double a : {1, 1, 2, 3}) {
    filter.keep(0, std::vector<float>(10, 0.99f));
    want += 0.01 / a * 8;
    EXPECT_NEAR(filter.threshold(0), want, 1e-12);
  }
}
