// Where patches come from: entropy windows, the samplers, the area filter, connected components.
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "data/components.h"
#include "train/methods/patch_sampler.h"
#include "train/methods/patch_view.h"

using namespace patchcl;

namespace {

// n images of h x w with random content; a disc of class 1 with soft borders, class 0 elsewhere, class 2
// nowhere.
struct Discs {
  Discs(int64_t n, int64_t h, int64_t w, int64_t classes = 3) : batch{n, h, w, 1, classes} {
    Rng rng(5);
    for (int64_t i = 0; i < n * h * w; ++i) images.push_back(float(rng.uniform()));
    for (int64_t image = 0; image < n; ++image)
      for (int64_t r = 0; r < h; ++r)
        for (int64_t c = 0; c < w; ++c) {
          const double away = std::hypot(double(r) - h * 0.4, double(c) - w * 0.6) - double(h) / 5;
          const float inside = float(1 / (1 + std::exp(away)));
          confidence.insert(confidence.end(), {1 - inside, inside});
          confidence.resize(confidence.size() + size_t(classes - 2));
        }
    batch.images = images.data();
    batch.confidence = confidence.data();
  }
  std::vector<float> images, confidence;
  PatchImages batch;
};

AreaFilter no_filter(int64_t classes = 3) { return {AreaFilterMode::off, classes}; }

}  // namespace

TEST(PatchEntropy, IsOneAtOneHalfAndZeroAtCertainty) {
  EXPECT_EQ(binary_entropy(0.5f), 1);
  EXPECT_EQ(binary_entropy(0), 0);
  EXPECT_EQ(binary_entropy(1), 0);
  EXPECT_NEAR(binary_entropy(0.25f), 0.8112781, 1e-6);
}

TEST(PatchEntropy, WindowMeansEqualPlainSumsForAnySideAndStride) {
  Rng rng(1);
  const int64_t h = 23, w = 17;
  std::vector<float> map;
  for (int64_t i = 0; i < h * w; ++i) map.push_back(float(rng.uniform()));
  for (int64_t side : {1, 5, 16, 17})
    for (int64_t stride : {1, 3, 40}) {
      const WindowGrid g(h, w, side, stride);
      const std::vector<float> means = window_means(map, g);
      for (int64_t i = 0; i < g.count(); ++i) {
        double sum = 0;
        for (int64_t r = 0; r < side; ++r)
          for (int64_t c = 0; c < side; ++c) sum += map[size_t((g.top(i) + r) * w + g.left(i) + c)];
        ASSERT_NEAR(means[size_t(i)], sum / double(side * side), 1e-6);
      }
      EXPECT_EQ(g.top(g.count() - 1), h - side) << "the last window reaches the border";
      EXPECT_EQ(g.left(g.count() - 1), w - side);
    }
}

TEST(PatchEntropy, PatchLargerThanTheImageIsAnErrorThatNamesBoth) {
  try {
    WindowGrid(32, 48, 64, 8);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::usage);
    EXPECT_NE(std::string(e.what()).find("64x64 does not fit into images of 32x48"), std::string::npos)
        << e.what();
  }
}

TEST(PatchEntropy, AttendedImageUsesImageTimesConfidence) {
  Discs d(1, 8, 8);
  const std::vector<float> h = entropy_map(d.batch, 0, 1, EntropyOf::attended_image);
  for (size_t m = 0; m < h.size(); ++m)
    EXPECT_EQ(h[m], binary_entropy(d.images[m] * d.confidence[3 * m + 1]));
}

TEST(PatchSampler, EverySamplerFindsTheDiscAndRepeatsItself) {
  Discs d(2, 48, 40);
  for (Sampling s : {Sampling::entropy, Sampling::uniform, Sampling::confidence, Sampling::cosine,
           Sampling::top_k, Sampling::boxes})
    for (Parity parity : {Parity::bernoulli, Parity::threshold}) {
      const PatchOptions options{.side = 8, .stride = 4, .sampling = s, .parity = parity, .top_k = 5};
      AreaFilter filter = no_filter(), again = no_filter();
      Rng a(3, 7, 2), b(3, 7, 2);
      const SampledPatches x = sample_patches(d.batch, 21, options, filter, a),
                           y = sample_patches(d.batch, 21, options, again, b);
      ASSERT_EQ(x.positive.size(), 21u) << int(s);
      int discs = 0;
      for (size_t i = 0; i < x.positive.size(); ++i) {
        const Patch& p = x.positive[i];
        EXPECT_TRUE(
            p.top == y.positive[i].top && p.left == y.positive[i].left && p.image == y.positive[i].image);
        EXPECT_TRUE(p.top >= 0 && p.left >= 0 && p.top + 8 <= 48 && p.left + 8 <= 40);
        EXPECT_NE(p.label, 2) << "class 2 is in no image";
        if (p.label != 1) continue;
        ++discs;
        EXPECT_GT(p.confidence, 0) << int(s);
        if (parity == Parity::threshold && s != Sampling::boxes) {
          EXPECT_GT(p.confidence, 0.5f);
        }
      }
      EXPECT_EQ(discs, 10) << "the rest of the budget of two classes";
      for (const Patch& p : x.negative) EXPECT_FALSE(p.positive);
    }
}

TEST(PatchSampler, EntropyWeightFollowsTheFormulaAndNeverVanishes) {
  Discs d(1, 32, 32);
  std::vector<Patch> windows(3);
  windows[0].entropy = 0.25f;
  windows[1].entropy = 1;
  Rng rng(1);
  const std::vector<double> w = sampling_weights(d.batch, windows, {}, rng);
  EXPECT_DOUBLE_EQ(w[0], 0.75);
  EXPECT_DOUBLE_EQ(w[1], 1e-3);
  EXPECT_DOUBLE_EQ(w[2], 1);
}

TEST(PatchSampler, SureWindowsAreConfidentAndOfTheirClass) {
  Discs d(1, 32, 32);
  std::vector<Patch> windows(2);
  windows[0] = {.positive = true, .entropy = 0.25f, .confidence = 0.5f};
  windows[1] = {.positive = false, .entropy = 0.5f, .confidence = 0.25f};
  Rng rng(1);
  const std::vector<double> w = sampling_weights(d.batch, windows, {.sampling = Sampling::sure}, rng);
  EXPECT_DOUBLE_EQ(w[0], 0.5 * 0.75);
  EXPECT_DOUBLE_EQ(w[1], 0.75 * 0.5);
}

TEST(PatchSampler, ConfidenceWeighsByTheClassThatAWindowIsDrawnFor) {
  Discs d(1, 32, 32);
  std::vector<Patch> windows(2);
  windows[0] = {.positive = true, .entropy = 0.9f, .confidence = 0.5f};
  windows[1] = {.positive = false, .entropy = 0.9f, .confidence = 0.25f};
  Rng rng(1);
  const auto w = sampling_weights(d.batch, windows, {.sampling = Sampling::confidence}, rng);
  EXPECT_EQ(w, (std::vector<double>{0.5, 0.75}));
}

// Pixels of two channels; the one positive window is (1,0).
TEST(PatchSampler, CosineComparesWithTheMeanOfThePositiveWindows) {
  const std::vector<float> images{1, 0, 0, 1, 1, 1}, confidence(6, 1);
  const PatchImages batch{1, 1, 3, 2, 2, images.data(), confidence.data(), nullptr};
  std::vector<Patch> windows(3);
  for (int64_t i = 0; i < 3; ++i) windows[size_t(i)] = {.left = i, .positive = i == 0};
  Rng rng(1);
  const auto w = sampling_weights(batch, windows, {.side = 1, .sampling = Sampling::cosine}, rng);
  ASSERT_EQ(w.size(), 3u);
  EXPECT_NEAR(w[0], 1, 1e-9);
  EXPECT_NEAR(w[1], 1e-3, 1e-9);
  EXPECT_NEAR(w[2], std::sqrt(0.5), 1e-9);
}

TEST(PatchSampler, EntropyIsOfWhatTheOptionNames) {
  Discs d(1, 8, 8);
  const WindowGrid grid(8, 8, 4, 4);
  for (const EntropyOf of : {EntropyOf::confidence, EntropyOf::attended_image}) {
    const WindowStatistics s = window_statistics(d.batch, {.side = 4, .stride = 4, .entropy_of = of});
    for (int64_t k = 0; k < 3; ++k) {
      const std::vector<float> means = window_means(entropy_map(d.batch, 0, k, of), grid);
      for (int64_t w = 0; w < grid.count(); ++w)
        EXPECT_FLOAT_EQ(s.entropy[s.index(0, k, w)], means[size_t(w)]);
    }
  }
}

// A teacher that is nowhere certain, and sees one pixel of the disc's class.
TEST(PatchSampler, WindowsOfBackgroundNearForegroundHoldAPixelOfIt) {
  std::vector<float> images(32 * 32, 0.5f), confidence;
  for (int64_t m = 0; m < 32 * 32; ++m) confidence.insert(confidence.end(), {0.9f, 0.1f});
  confidence[2 * (3 * 32 + 5)] = 0.2f;
  confidence[2 * (3 * 32 + 5) + 1] = 0.8f;
  const PatchImages batch{1, 32, 32, 1, 2, images.data(), confidence.data(), nullptr};
  for (const bool near : {false, true}) {
    const PatchOptions options{
        .side = 16, .stride = 16, .parity = Parity::threshold, .near_foreground = near};
    AreaFilter filter = no_filter(2);
    Rng rng(1);
    std::set<std::pair<int64_t, int64_t>> corners;
    for (const Patch& p : sample_patches(batch, 40, options, filter, rng).positive)
      corners.insert({p.top, p.left});
    EXPECT_TRUE(corners.contains({0, 0}));
    EXPECT_EQ(corners.size(), near ? 1u : 4u);
  }
}

TEST(PatchSampler, OfEqualWindowsTheTopKAreDrawn) {
  Discs d(1, 32, 32);
  const std::vector<Patch> windows(6);  // all alike
  std::vector<int> count(6);
  Rng rng(5);
  for (int i = 0; i < 3000; ++i) {
    const auto w = sampling_weights(d.batch, windows, {.sampling = Sampling::top_k, .top_k = 2}, rng);
    for (size_t k = 0; k < 6; ++k) count[k] += w[k] > 0;
  }
  for (int c : count) EXPECT_NEAR(c, 1000, 120);
}

// Windows of one image are certain, those of the other never: both keep their best.
TEST(PatchSampler, TheTopKAreOfEachImage) {
  Discs d(2, 32, 32);
  std::vector<Patch> windows(8);
  for (size_t i = 0; i < 8; ++i)
    windows[i] = {.image = int64_t(i / 4), .entropy = i < 4 ? 0 : 0.1f * float(i)};
  Rng rng(5);
  const auto w = sampling_weights(d.batch, windows, {.sampling = Sampling::top_k, .top_k = 2}, rng);
  EXPECT_EQ(std::count(w.begin(), w.begin() + 4, 1), 2);
  EXPECT_EQ(std::vector<double>(w.begin() + 4, w.end()), (std::vector<double>{1, 1, 0, 0}));
}

TEST(PatchSampler, WithoutReplacementEachWindowComesOnce) {
  Rng rng(3);
  for (int i = 0; i < 50; ++i) {
    std::vector<size_t> drawn = draw_categorical({1, 0, 3, 4, 0.1}, 9, rng, /*replacement=*/false);
    std::sort(drawn.begin(), drawn.end());
    EXPECT_EQ(drawn, (std::vector<size_t>{0, 2, 3, 4}));
  }
}

TEST(PatchSampler, DrawsInProportionToTheWeights) {
  Rng rng(11);
  std::vector<int> count(4);
  for (size_t i : draw_categorical({1, 0, 3, 4}, 80000, rng)) ++count[i];
  EXPECT_NEAR(count[0], 10000, 400);
  EXPECT_EQ(count[1], 0);
  EXPECT_NEAR(count[2], 30000, 600);
  EXPECT_NEAR(count[3], 40000, 600);
  EXPECT_TRUE(draw_categorical({0, 0}, 5, rng).empty());
  EXPECT_TRUE(draw_categorical({}, 5, rng).empty());
}

TEST(PatchSampler, NoClassAnywhereGivesNoPatch) {
  Discs d(1, 32, 32);
  std::fill(d.confidence.begin(), d.confidence.end(), 0.f);
  AreaFilter filter = no_filter();
  Rng rng(1);
  EXPECT_TRUE(sample_patches(d.batch, 12, {.side = 8, .stride = 8}, filter, rng).positive.empty());
}

TEST(PatchSampler, BoxWindowsAreClampedOnEachAxisAndSuppressedPerImage) {
  const int64_t side = 16;
  PatchImages batch{2, 40, 32, 1, 2};
  std::vector<float> images(size_t(2 * 40 * 32)), confidence(size_t(2 * 40 * 32 * 2));
  const auto paint = [&](int64_t image, int64_t top, int64_t left, int64_t bottom, int64_t right) {
    for (int64_t r = top; r < bottom; ++r)
      for (int64_t c = left; c < right; ++c) confidence[size_t(((image * 40 + r) * 32 + c) * 2 + 1)] = 1;
  };
  for (int64_t image : {0, 1})
    paint(image, 36, 28, 40, 32);  // a small box in the far corner: both axes need a shift
  paint(0, 0, 0, 20, 4);           // taller than a patch, narrower
  batch.images = images.data();
  batch.confidence = confidence.data();
  const std::vector<Patch> first = box_windows(batch, 0, 1, side), second = box_windows(batch, 1, 1, side);
  std::set<std::pair<int64_t, int64_t>> corners;
  for (const Patch& p : first) corners.insert({p.top, p.left});
  EXPECT_EQ(corners, (std::set<std::pair<int64_t, int64_t>>{{24, 16}, {0, 0}, {4, 0}}));
  ASSERT_EQ(second.size(), 1u) << "windows of one image do not suppress those of another";
  EXPECT_EQ(second[0].top, 24);
  EXPECT_EQ(second[0].left, 16);
  EXPECT_EQ(box_windows(batch, 0, 0, side).size(), 6u) << "background: 3 x 2 disjoint windows";
}

TEST(PatchSampler, CutsTheAttendedWindow) {
  Discs d(2, 16, 16);
  const Patch p{.image = 1, .top = 3, .left = 5, .label = 1};
  std::vector<float> attended(16), raw(16);
  cut_patch(d.batch, p, 4, true, attended.data());
  cut_patch(d.batch, p, 4, false, raw.data());
  for (int64_t i = 0; i < 16; ++i) {
    const size_t pixel = size_t((16 + 3 + i / 4) * 16 + 5 + i % 4);
    EXPECT_EQ(raw[size_t(i)], d.images[pixel]);
    EXPECT_EQ(attended[size_t(i)], d.images[pixel] * d.confidence[3 * pixel + 1]);
  }
}

TEST(Components, LargestOfEachClassStays) {
  std::vector<uint8_t> y = {1, 1, 0, 2, 0,  //
      0, 1, 0, 0, 1,                        // the lone 1 goes; diagonal neighbours belong together
      2, 0, 1, 0, 2,                        // two 2s of one pixel and one of two: the larger stays
      0, 0, 0, 2, 0};
  keep_largest_components(y.data(), 4, 5);
  EXPECT_EQ(y, (std::vector<uint8_t>{1, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 2, 0, 0, 0, 2, 0}));
  std::vector<uint8_t> empty(12, 0);
  keep_largest_components(empty.data(), 3, 4);
  EXPECT_EQ(empty, std::vector<uint8_t>(12, 0));
}

TEST(Components, BoxAndSizeOfARegion) {
  const std::vector<uint8_t> y = {0, 3, 3, 0, 3, 0, 0, 0, 0};
  const Components found = find_components(y.data(), 3, 3);
  ASSERT_EQ(found.list.size(), 1u);
  const Component& c = found.list[0];
  EXPECT_EQ(c.pixels, 3);
  EXPECT_TRUE(c.top == 0 && c.left == 1 && c.bottom == 2 && c.right == 3 && c.label == 3);
}

TEST(PatchView, StaysInRangeAndKeepsMaskedPixelsBlack) {
  Discs d(1, 32, 32);
  for (size_t i = 0; i < d.confidence.size(); ++i) d.confidence[i] = d.confidence[i] > 0.5f;
  const Patch p{.image = 0, .top = 8, .left = 12, .label = 1};
  const auto view_at = [&](uint64_t step) {
    Rng rng(1, step);
    const Tensor out = Arena("test").empty({1, 16, 16, 1}, DType::f32);
    view_patches(d.batch, {p}, {draw_view(16, 1, rng)}, true, out);
    return std::vector<float>(out.data<float>(), out.data<float>() + 256);
  };
  std::vector<float> plain(256);
  cut_patch(d.batch, p, 16, true, plain.data());
  int changed = 0;
  for (uint64_t step = 0; step < 20; ++step) {
    const std::vector<float> strong = view_at(step), again = view_at(step);
    EXPECT_EQ(strong, again);
    changed += strong != plain;
    for (float x : strong) EXPECT_TRUE(x >= 0 && x <= 1);
    EXPECT_GT(std::count(strong.begin(), strong.end(), 0.f), 0) << "the disc does not fill this window";
  }
  EXPECT_GT(changed, 15);
  std::fill(d.confidence.begin(), d.confidence.end(), 0.f);
  EXPECT_EQ(view_at(0), std::vector<float>(256, 0.f));
}
