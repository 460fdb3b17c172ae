// What augmentation draws: anew for each image, batch and seed, as often and as far as its header says.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "data/stream/augment.h"
#include "data/stream/elastic.h"
#include "data/stream/loader.h"
#include "tests/small_data.h"

using namespace patchcl;
using namespace patchcl::test;

namespace {

std::vector<float> numbers(const Tensor& t) { return {t.data<float>(), t.data<float>() + t.numel()}; }

// Four times the same slice, warped by draws of its own each time.
std::vector<std::vector<float>> rows_of_batch(int64_t number, uint64_t seed) {
  const Dataset data = Dataset::open("phantom:cases=2,val=1,size=32,slices=1");
  Loader loader(data, Sampler(7, 1, 0, 4, 0),
      {.seed = seed, .augment = {.kind = Augmentation::elastic, .size = 32}}, number);
  const Batch b = loader.next();
  std::vector<std::vector<float>> rows;
  for (int64_t i = 0; i < 4; ++i) rows.push_back(numbers(b.images().rows(i, 1)));
  return rows;
}

Slice slice_of(const std::vector<float>& image, int64_t side) {
  Slice s;
  s.height = s.width = side;
  s.image = image.data();
  return s;
}

// The share of seeds for which a 5x5 image with nothing alike stays as it is.
double unchanged(Augmentation kind) {
  std::vector<float> image, out(25);
  for (int i = 1; i <= 25; ++i) image.push_back(float(i) / 25);
  constexpr int kDraws = 4000;
  int same = 0;
  for (uint64_t seed = 0; seed < kDraws; ++seed) {
    augment(slice_of(image, 5), {.kind = kind, .size = 5}, Rng(seed), out.data(), nullptr);
    same += out == image;
  }
  return double(same) / kDraws;
}

}  // namespace

TEST(AugmentDraws, AreOfTheImageTheBatchAndTheSeed) {
  std::set<std::vector<float>> seen;
  for (const auto& [number, seed] : {std::pair<int64_t, uint64_t>{0, 11}, {1, 11}, {0, 12}})
    for (const std::vector<float>& row : rows_of_batch(number, seed)) seen.insert(row);
  EXPECT_EQ(seen.size(), 12u);
}

// scipy.ndimage.rotate(x, 45 and 90, order=0, reshape=False)
TEST(AugmentDraws, RotationFollowsScipy) {
  const Picture<float> from_zero{3, 3, 1, {0, 1, 2, 3, 4, 5, 6, 7, 8}},
      from_one{3, 3, 1, {1, 2, 3, 4, 5, 6, 7, 8, 9}};
  EXPECT_EQ(rotate_nearest(from_one, 45).values, (std::vector<float>{0, 3, 0, 1, 5, 9, 0, 7, 0}));
  EXPECT_EQ(rotate_nearest(from_zero, 0).values, from_zero.values);
  const std::vector<float> turned = rotate_nearest(from_zero, 89.9).values;
  EXPECT_EQ(turned[1], 5);
  EXPECT_EQ(turned[3], 1);
  EXPECT_EQ(turned[4], 4);
}

// A rotation by -20..19 degrees is none in one draw of 40; a quarter turn and a flip are never none.
TEST(AugmentDraws, EachKindChangesAsManyImagesAsItSays) {
  EXPECT_EQ(unchanged(Augmentation::none), 1);
  EXPECT_EQ(unchanged(Augmentation::flips), 0);
  EXPECT_NEAR(unchanged(Augmentation::ssl4mis), 0.25 + 0.25 / 40, 0.03);
  EXPECT_NEAR(unchanged(Augmentation::ssl4mis_2025), 0.5 / 40, 0.01);
  EXPECT_LT(unchanged(Augmentation::elastic), 0.6);
  EXPECT_LT(unchanged(Augmentation::elastic_mirror), 0.3);
}

// Bilinear labels, as released, have a class between two; labels otherwise have those of the file alone.
TEST(AugmentDraws, LabelsAreMixedOnlyWhereThatIsAskedFor) {
  const std::vector<uint8_t> label{0, 0, 3, 3, 0, 0, 3, 3, 0, 0, 3, 3, 0, 0, 3, 3};
  const std::vector<float> image(label.begin(), label.end());
  Slice s = slice_of(image, 4);
  s.label = label.data();
  for (const bool bilinear : {false, true}) {
    AugmentOptions options{.kind = Augmentation::none, .size = 7, .fit = Fit::bilinear};
    options.bilinear_labels = bilinear;
    std::vector<float> x(49);
    std::vector<uint8_t> y(49);
    augment(s, options, Rng(1), x.data(), y.data());
    const std::vector<uint8_t> row{0, 0, 0, uint8_t(bilinear ? 1 : 3), 3, 3, 3};
    for (int i = 0; i < 7; ++i)
      EXPECT_EQ(std::vector<uint8_t>(y.begin() + 7 * i, y.begin() + 7 * i + 7), row) << bilinear;
  }
}

TEST(AugmentDraws, AnEpochHasAnOrderOfItsOwn) {
  const auto epoch = [](uint64_t seed, int64_t first) {
    const Sampler sampler(seed, 9, 0, 3, 0);
    std::vector<int64_t> order;
    for (int64_t i = first; i < first + 3; ++i)
      for (const int64_t item : sampler.batch(i)) order.push_back(item);
    return order;
  };
  EXPECT_NE(epoch(5, 0), epoch(5, 3));
  EXPECT_NE(epoch(5, 0), epoch(6, 0));
}

// Of a blurred view without blur: the difference of two pixels grows by brightness times contrast.
TEST(AugmentDraws, TheMilderViewHasFactorsFromOneHalfToOneAndAHalf) {
  const std::vector<float> x{126.f / 255, 130.f / 255, 128.f / 255, 128.f / 255};
  double least = 9, most = 0;
  for (uint64_t seed = 0; seed < 800; ++seed) {
    std::vector<float> y(4);
    blurred_view(x.data(), 2, 2, 1, 0, Rng(seed), y.data());
    double mean = 0;
    for (const float v : y) mean += double(v) / 4;
    const double brightness = mean / (128. / 255);
    const double contrast = double(y[1] - y[0]) / (4. / 255) / brightness;
    least = std::min({least, brightness, contrast});
    most = std::max({most, brightness, contrast});
  }
  EXPECT_TRUE(least > 0.499 && least < 0.51) << least;
  EXPECT_TRUE(most > 1.49 && most < 1.501) << most;
}

// Three greys: gamma moves the middle one alone, brightness shifts them all, noise spreads each.
TEST(AugmentDraws, RecolouringShiftsCurvesAndSpreadsInOneImageOfTwo) {
  constexpr int64_t kPixels = 400;
  std::vector<float> x(kPixels, 0.5f);
  for (size_t i = 0; i < x.size(); i += 4) x[i] = 0.4f, x[i + 1] = 0.6f;
  constexpr int kDraws = 1000;
  int shifted = 0, curved = 0, noisy = 0, whole = 0;
  double shift = 0, noise = 0, least_middle = 1, most_middle = 0;
  for (uint64_t seed = 0; seed < kDraws; ++seed) {
    std::vector<float> y(kPixels);
    recolour(x.data(), kPixels, Rng(seed), y.data());
    double mean[3] = {}, square = 0;
    for (int64_t i = 0; i < kPixels; ++i) mean[std::min<int64_t>(i % 4, 2)] += double(y[size_t(i)]);
    mean[0] /= kPixels / 4., mean[1] /= kPixels / 4., mean[2] /= kPixels / 2.;
    for (int64_t i = 0; i < kPixels; i += 4) square += std::pow(double(y[size_t(i)]) - mean[0], 2);
    const double deviation = std::sqrt(square / (kPixels / 4.));
    noisy += deviation > 1e-4;
    noise = std::max(noise, deviation);
    if (deviation > 1e-4) continue;  // noise hides the rest
    const double middle = (mean[2] - mean[0]) / (mean[1] - mean[0]);
    shifted += std::abs(mean[0] - 0.4) > 1e-4;
    shift = std::max(shift, std::abs(mean[0] - 0.4));
    if (mean[0] < 1e-3 || mean[1] > 1 - 1e-3) continue;  // cut off at the end of [0,1]
    ++whole;
    curved += std::abs(middle - 0.5) > 1e-3;
    least_middle = std::min(least_middle, middle);
    most_middle = std::max(most_middle, middle);
  }
  const double clean = kDraws - noisy;
  EXPECT_NEAR(noisy / double(kDraws), 0.5, 0.05);
  EXPECT_NEAR(shifted / clean, 0.5, 0.08);
  EXPECT_NEAR(curved / double(whole), 0.5, 0.08);
  EXPECT_TRUE(noise > 0.09 && noise < 0.13) << noise;
  EXPECT_TRUE(shift > 0.3) << shift;  // of some 250 draws of deviation 0.2, clamped at 0
  EXPECT_NEAR(least_middle, std::pow(0.5, 2), 0.02);
  EXPECT_NEAR(most_middle, std::pow(0.5, 0.5), 0.02);
}
