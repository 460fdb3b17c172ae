// The augmentation of Hu et al., told from its results alone.
#include "data/stream/elastic.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "data/stream/augment.h"

using namespace patchcl;

namespace {

constexpr int64_t kSide = 24;
constexpr WarpOptions kStill{.most_alpha = 0};

std::vector<float> ramp() {
  std::vector<float> x;
  for (int64_t p = 0; p < kSide * kSide; ++p) x.push_back(float(p) / (kSide * kSide - 1));
  return x;
}

}  // namespace

TEST(Elastic, NothingDrawnChangesNothing) {
  Rng rng(1);
  std::vector<float> x = ramp();
  std::vector<uint8_t> y(kSide * kSide);
  for (size_t p = 0; p < y.size(); ++p) y[p] = uint8_t(p % 5);
  const std::vector<uint8_t> before = y;
  warp(kSide, 1, warp_field(kSide, kStill, rng), x.data(), y.data());
  for (size_t p = 0; p < x.size(); ++p) EXPECT_NEAR(x[p], ramp()[p], 1e-5) << p;
  EXPECT_EQ(y, before);
}

// Far from the border the sum of g(d)^2 over both axes is 1/(4 pi sigma^2), the variance of n is 1/3. The two
// axes move on their own.
TEST(Elastic, DisplacementHasTheDeviationOfSmoothedNoise) {
  constexpr double sigma = 2, alpha = 3;
  double sum = 0, product = 0;
  int count = 0;
  for (uint64_t seed = 0; seed < 300; ++seed) {
    Rng rng(seed);
    const auto field =
        warp_field(kSide, {.most_alpha = alpha, .least_sigma = sigma, .most_sigma = sigma}, rng);
    const int64_t middle = kSide / 2 * kSide + kSide / 2;
    const auto u = [&](int axis) { return double(field[size_t(2 * middle + axis)]) - kSide / 2; };
    for (int axis = 0; axis < 2; ++axis) {
      sum += u(axis) * u(axis);
      ++count;
    }
    product += u(0) * u(1);
  }
  const double of_alpha = alpha * alpha / 3, expected = of_alpha / 3 / (4 * M_PI * sigma * sigma);
  EXPECT_NEAR(sum / count / expected, 1, 0.25);
  EXPECT_NEAR(product / 300 / (sum / count), 0, 0.25);
}

// A quarter turn about the centre brings each pixel to another; every second image stays.
TEST(Elastic, TurnsAboutTheCentreInOneImageOfTwo) {
  int turned = 0;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    Rng rng(seed);
    const auto field =
        warp_field(kSide, {.most_alpha = 0, .least_angle = M_PI / 2, .most_angle = M_PI / 2}, rng);
    const double y = double(field[0]), x = double(field[1]);
    if (std::abs(y) < 1e-4 && std::abs(x) < 1e-4) continue;
    ++turned;
    EXPECT_NEAR(y, kSide - 1, 1e-4);
    EXPECT_NEAR(x, 0, 1e-4);
  }
  EXPECT_TRUE(turned > 30 && turned < 70) << turned;
}

TEST(Elastic, MirrorsLeftAndRight) {
  int mirrored = 0;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    Rng rng(seed);
    const auto field = warp_field(kSide, {.most_alpha = 0, .mirror = true}, rng);
    EXPECT_NEAR(field[0], 0, 1e-5);
    mirrored += field[1] > kSide - 1.01;
  }
  EXPECT_TRUE(mirrored > 30 && mirrored < 70) << mirrored;
}

// A label that is a function of the image stays one where the image is flat around.
TEST(Elastic, ImageAndLabelMoveTogetherAndRepeat) {
  std::vector<float> image(40 * 40);
  std::vector<uint8_t> label(40 * 40);
  for (size_t p = 0; p < image.size(); ++p) image[p] = float(label[p] = uint8_t(p / 40 > 15 && p % 40 > 20));
  Slice s;
  s.height = s.width = 40;
  s.image = image.data();
  s.label = label.data();
  for (const auto kind : {Augmentation::elastic, Augmentation::elastic_mirror})
    for (uint64_t seed = 0; seed < 8; ++seed) {
      std::vector<float> x(32 * 32), again(32 * 32);
      std::vector<uint8_t> y(32 * 32), labels_again(32 * 32);
      augment(s, {kind, 32, Fit::resize}, Rng(seed), x.data(), y.data());
      augment(s, {kind, 32, Fit::resize}, Rng(seed), again.data(), labels_again.data());
      EXPECT_EQ(x, again);
      EXPECT_EQ(y, labels_again);
      for (size_t p = 0; p < x.size(); ++p) {
        EXPECT_LE(y[p], 1);
        if (x[p] < 0.2f || x[p] > 0.8f) {
          EXPECT_EQ(y[p], x[p] > 0.5f) << p;
        }
      }
    }
}

TEST(Elastic, RecolouringKeepsTheRangeAndLeavesSomeImagesAlone) {
  const std::vector<float> x = ramp();
  int same = 0, ordered = 0;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    std::vector<float> y(x.size());
    recolour(x.data(), int64_t(x.size()), Rng(seed), y.data());
    for (float v : y) EXPECT_TRUE(v >= 0 && v <= 1);
    double apart = 0;
    for (size_t p = 0; p < x.size(); ++p) apart = std::max(apart, std::abs(double(y[p]) - double(x[p])));
    same += apart < 1e-6;
    ordered += std::is_sorted(y.begin(), y.end());
  }
  EXPECT_TRUE(same > 10 && same < 45) << same;            // 1 of 8
  EXPECT_TRUE(ordered > 75 && ordered < 125) << ordered;  // without noise
}

// Alone it keeps an image's darkest and brightest values, wherever they lie.
TEST(Elastic, GammaKeepsTheImagesOwnRange) {
  std::vector<float> x = ramp();
  for (float& v : x) v = 0.3f + 0.4f * v;
  int kept = 0;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    std::vector<float> y(x.size());
    recolour(x.data(), int64_t(x.size()), Rng(seed), y.data());
    const size_t middle = x.size() / 2;
    kept += std::abs(y.front() - x.front()) < 1e-6f && std::abs(y.back() - x.back()) < 1e-6f &&
            std::abs(y[middle] - x[middle]) > 1e-3f;
  }
  EXPECT_TRUE(kept > 10 && kept < 45) << kept;  // 1 of 8
}
