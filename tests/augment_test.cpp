// The strong view of METHODS 4.2, told from its results alone.
#include "tests/small_data.h"
#include "data/resize.h"
#include "data/stream/augment.h"
#include "data/stream/loader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

using namespace patchcl;
using namespace patchcl::test;

namespace {

struct Factors {
  double brightness, contrast;
};

// Grey values so close to 1/2 that nothing is clamped: y = m + c (b x - m) with m = b mean(x), so that
// mean(y) = b mean(x), and differences grow by b c.
Factors strong_view_factors(uint64_t seed) {
  const std::vector<float> x{0.49f, 0.51f, 0.5f, 0.495f};
  std::vector<float> y(4);
  strong_view(x.data(), 4, 1, Rng(seed), y.data());
  double mean_x = 0, mean_y = 0;
  for (size_t i = 0; i < 4; ++i) mean_x += double(x[i]) / 4, mean_y += double(y[i]) / 4;
  const double b = mean_y / mean_x, c = double(y[1] - y[0]) / double(x[1] - x[0]) / b;
  for (size_t i = 0; i < 4; ++i)
    EXPECT_NEAR(y[i], mean_y + c * (b * double(x[i]) - mean_y), 1e-6) << "seed " << seed;
  return {b, c};
}

}  // namespace

TEST(StrongView, BrightnessAndContrastAreTwoFactorsOfTheirOwn) {
  constexpr int n = 400;
  double mean[2] = {}, product = 0, low[2] = {9, 9}, high[2] = {};
  for (uint64_t seed = 0; seed < n; ++seed) {
    const Factors f = strong_view_factors(seed);
    const double both[2] = {f.brightness, f.contrast};
    for (int k = 0; k < 2; ++k) {
      mean[k] += both[k] / n;
      low[k] = std::min(low[k], both[k]);
      high[k] = std::max(high[k], both[k]);
    }
    product += both[0] * both[1] / n;
  }
  for (int k = 0; k < 2; ++k) {  // uniform in [0.2, 1.8]
    EXPECT_NEAR(mean[k], 1, 0.1) << k;
    EXPECT_TRUE(low[k] > 0.2 - 1e-3 && low[k] < 0.25) << low[k];
    EXPECT_TRUE(high[k] < 1.8 + 1e-3 && high[k] > 1.75) << high[k];
  }
  const double variance = 1.6 * 1.6 / 12;
  EXPECT_NEAR((product - mean[0] * mean[1]) / variance, 0, 0.2) << "drawn independently of each other";
}

// Saturation moves colours away from or towards their grey, by one factor per image, and grey stays grey.
TEST(StrongView, SaturationKeepsLumaAndGrey) {
  const auto luma = [](const float* p) { return 0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2]; };
  const std::vector<float> x{0.5f, 0.5f, 0.5f, 0.505f, 0.5f, 0.495f, 0.495f, 0.5f, 0.505f};
  double least = 9, most = 0;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    std::vector<float> y(9);
    strong_view(x.data(), 3, 3, Rng(seed), y.data());
    EXPECT_NEAR(y[0], y[1], 1e-6);
    EXPECT_NEAR(y[1], y[2], 1e-6);
    // How far red and blue lie apart, against how far the lumas do: the saturation factor.
    const double apart = double(y[3] - y[5]) / double(x[3] - x[5]);
    const double contrast = (luma(&y[3]) - luma(&y[6])) / (luma(&x[3]) - luma(&x[6]));
    EXPECT_NEAR(double(y[6] - y[8]) / double(x[6] - x[8]), apart, 1e-4) << "seed " << seed;
    least = std::min(least, apart / contrast);
    most = std::max(most, apart / contrast);
  }
  EXPECT_TRUE(least > 0.19 && least < 0.3) << least;
  EXPECT_TRUE(most < 1.81 && most > 1.7) << most;
}

namespace {

TEST(Augment, KeepsTheWholeImageWhenItIsLargerThanTheNetwork) {
  // A ramp: the corner values tell whether a part was cut off.
  std::vector<float> image;
  for (int i = 0; i < 64 * 80; ++i) image.push_back(float(i) / (64 * 80 - 1));
  Slice s;
  s.height = 64;
  s.width = 80;
  s.image = image.data();
  std::vector<float> out(16 * 16);
  for (uint64_t seed = 0; seed < 20; ++seed) {
    augment(s, {Augmentation::none, 16, Fit::resize}, Rng(seed), out.data(), nullptr);
    EXPECT_EQ(out.front(), 0) << seed;
    EXPECT_EQ(out.back(), 1) << seed;
  }
}

// As inference continues it: about the last row and column, at the image's own scale.
TEST(Augment, ACutBeyondTheImageGoesOnByReflection) {
  std::vector<float> image;
  for (int i = 0; i < 4 * 20; ++i) image.push_back(float(i));
  Slice s;
  s.height = 4;
  s.width = 20;
  s.image = image.data();
  std::vector<float> out(16 * 16);
  augment(s, {Augmentation::none, 16, Fit::crop}, Rng(3), out.data(), nullptr);
  const float left = out[0];
  EXPECT_LE(left, 4);
  for (int y = 0; y < 16; ++y)
    for (int x = 0; x < 16; ++x) {
      const int row = y % 6 < 4 ? y % 6 : 6 - y % 6;
      EXPECT_EQ(out[size_t(y * 16 + x)], float(20 * row + x) + left) << y << " " << x;
    }
}

TEST(Augment, QuarterTurnsFollowNumpy) {
  const Picture<float> x{2, 3, 1, {0, 1, 2, 3, 4, 5}};
  EXPECT_EQ(rot90_flip(x, 1, 0).values,
      (std::vector<float>{0, 3, 1, 4, 2, 5}));  // numpy.flip(numpy.rot90(x, 1), 0)
  EXPECT_EQ(rot90_flip(x, 2, 1).values, (std::vector<float>{3, 4, 5, 0, 1, 2}));
  EXPECT_EQ(rot90_flip(x, 0, 1).values, (std::vector<float>{2, 1, 0, 5, 4, 3}));
}

TEST(Augment, ImageAndLabelMoveTogether) {
  const std::vector<uint8_t> label = square_label(1, 40, 40, 4);
  const std::vector<float> image(label.begin(), label.end());
  Slice s;
  s.height = s.width = 40;
  s.image = image.data();
  s.label = label.data();
  for (const auto kind : {Augmentation::ssl4mis, Augmentation::ssl4mis_2025, Augmentation::flips})
    for (const Fit fit : {Fit::resize, Fit::crop})
      for (uint64_t seed = 0; seed < 12; ++seed) {
        std::vector<float> x(32 * 32);
        std::vector<uint8_t> y(32 * 32);
        augment(s, {kind, 32, fit}, Rng(seed), x.data(), y.data());
        EXPECT_EQ(x, std::vector<float>(y.begin(), y.end()));
      }
}

}  // namespace

// Whatever else happens to an image, a window is a part of what it becomes.
TEST(Augment, AWindowIsAPartOfTheWholeImageOfEveryKind) {
  constexpr int64_t kSize = 40, kWindow = 24;
  std::vector<float> image;
  Rng random(3);
  for (int64_t i = 0; i < kSize * kSize; ++i) image.push_back(float(random.uniform()));
  Slice s;
  s.height = s.width = kSize;
  s.image = image.data();
  for (size_t k = 0; k < augmentation_names().size(); ++k) {
    const std::string& name = augmentation_names()[k];
    const auto kind = Augmentation(k);
    std::vector<float> whole(kSize * kSize), part(kWindow * kWindow + 1, -1);
    augment(s, {kind, kSize, Fit::resize}, Rng(7), whole.data(), nullptr);
    augment(s, {kind, kSize, Fit::resize, kWindow}, Rng(7), part.data(), nullptr);
    EXPECT_EQ(part.back(), -1) << name << ": written beyond its end";
    int64_t places = 0;
    for (int64_t top = 0; top + kWindow <= kSize; ++top)
      for (int64_t left = 0; left + kWindow <= kSize; ++left) {
        bool same = true;
        for (int64_t y = 0; same && y < kWindow; ++y)
          same = std::equal(part.begin() + y * kWindow, part.begin() + (y + 1) * kWindow,
              whole.begin() + (top + y) * kSize + left);
        places += same;
      }
    EXPECT_EQ(places, 1) << name;
  }
}

TEST(Augment, TheLoaderShowsAnImageAsEightBitsWhereAPhaseAsks) {
  const Dataset dataset = Dataset::open("phantom:cases=2,size=32,slices=3", {.labeled = 1, .validation = 0});
  const Sampler sampler(7, dataset.labeled_items(), dataset.items() - dataset.labeled_items(), 2, 1);
  Loader loader(
      dataset, sampler, {.seed = 1, .augment = {.size = 32}, .views = {{}, {.look = Look::eight_bits}}}, 0);
  const Batch b = loader.next();
  const Tensor &x = b.images(), &view = b.views[1].images;
  for (int64_t i = 0; i < x.numel(); ++i)
    ASSERT_EQ(view.data<float>()[i], std::floor(255 * x.data<float>()[i]) / 255);
}

// METHODS 7.4: rounded to 8 bits, with p 0.8 other brightness and contrast, with p `blur` blurred.
TEST(Augment, TheBlurredViewIsRoundedJitteredAndBlurredAsOftenAsAsked) {
  std::vector<float> spot(81, 0.25f), out(81);
  spot[40] = 0.75f;
  int blurred = 0, as_it_is = 0;
  const int draws = 2000;
  for (int i = 0; i < draws; ++i) {
    blurred_view(spot.data(), 9, 9, 1, 0.3, Rng(1, uint64_t(i)), out.data());
    blurred += std::abs(out[39] - out[0]) > 1e-3f;  // sigma above 0.27 reaches the neighbour
    as_it_is += out[0] == std::floor(255 * 0.25f) / 255 && out[40] == std::floor(255 * 0.75f) / 255;
  }
  EXPECT_NEAR(blurred / double(draws), 0.3 * (2 - 0.27) / 1.9, 0.04);
  EXPECT_NEAR(as_it_is / double(draws), 0.2 * 0.7, 0.03);
}

TEST(Augment, ABlurKeepsTheMeanOfAMirroredImage) {
  std::vector<float> image(8 * 6), out(8 * 6);
  for (size_t i = 0; i < image.size(); ++i) image[i] = float(int(i * 37 % 48)) * 5 / 255;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    // The same draws without and with the blur: its mean is that of the image before it.
    double before = 0, after = 0;
    blurred_view(image.data(), 8, 6, 1, 0, Rng(2, seed), out.data());
    for (const float v : out) before += double(v);
    blurred_view(image.data(), 8, 6, 1, 1, Rng(2, seed), out.data());
    for (const float v : out) after += double(v);
    EXPECT_NEAR(before, after, 1e-4) << seed;
  }
}
