// Segmentation of volumes of any size: every path against the network applied by hand.
#include "train/evaluate/inference.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "autograd/ops/softmax.h"
#include "data/resize.h"
#include "tensor/random.h"

using namespace patchcl;

namespace {

// A small network (inputs in multiples of 4, three classes) with random weights and running statistics.
struct Net {
  Arena arena{"test"};
  ParamLayout layout;
  UNet unet;
  ParamStore weights;
  explicit Net(int channels = 1)
      : unet(
            layout, {.in_channels = channels, .classes = 3, .widths = {4, 6, 8}, .dropout = {0.1, 0.1, 0.1}}),
        weights(layout, arena, DType::f32, false) {
    weights.init(11);
    // Larger than a fresh network's, so that the mask follows the noise of the image.
    for (int64_t i = 0; i < layout.flat_size(); ++i) weights.values().data<float>()[i] *= 4;
    Rng rng(12);
    for (size_t i = 0; i < layout.buffers().size(); ++i) {
      const Tensor t = weights.buffer(int(i));
      for (int64_t j = 0; j < t.numel(); ++j) t.data<float>()[j] = float(rng.uniform(0.2, 0.4));
    }
  }
  // Probabilities (h,w,3) of one image (h,w,C).
  std::vector<float> run(const std::vector<float>& image, int64_t h, int64_t w) const {
    const Tensor x = arena.empty({1, h, w, unet.config().in_channels}, DType::f32);
    std::copy(image.begin(), image.end(), x.data<float>());
    Tape tape(arena, {.grad = false});
    Pass pass(tape, weights, false);
    const Var p = softmax(unet.forward(pass, tape.constant(x)).logits);
    return {p.value().data<float>(), p.value().data<float>() + p.value().numel()};
  }
};

Volume random_volume(int64_t d, int64_t h, int64_t w, int64_t channels = 1) {
  Volume v;
  v.id = "case";
  v.depth = d;
  v.height = h;
  v.width = w;
  v.channels = channels;
  Rng rng(5);
  for (int64_t i = 0; i < d * h * w * channels; ++i) v.image.push_back(float(rng.uniform(0, 1)));
  return v;
}

uint8_t largest(const float* p) { return uint8_t(std::max_element(p, p + 3) - p); }

// Rows [y, y + h) and columns [x, x + w) of an (H,W) image, reflected about the last row and column.
std::vector<float> crop(
    const float* image, int64_t height, int64_t width, int64_t y, int64_t x, int64_t h, int64_t w) {
  std::vector<float> out;
  for (int64_t r = y; r < y + h; ++r)
    for (int64_t c = x; c < x + w; ++c) {
      const int64_t rr = r < height ? r : 2 * (height - 1) - r, cc = c < width ? c : 2 * (width - 1) - c;
      out.push_back(image[rr * width + cc]);
    }
  return out;
}

}  // namespace

TEST(Inference, LogitsZoomBackBilinearlyWhereItIsAskedFor) {
  const Net net;
  const Volume v = random_volume(2, 21, 35);
  constexpr int64_t kSide = 18;  // the network takes 20
  Volume zoomed = random_volume(2, kSide, kSide);
  for (int64_t z = 0; z < 2; ++z)
    zoom_nearest(
        v.image.data() + z * 21 * 35, 21, 35, 1, zoomed.image.data() + z * kSide * kSide, kSide, kSide);
  std::vector<uint8_t> wanted;
  std::vector<double> softmax_there;
  segment({{&net.unet, &net.weights}}, zoomed, {.size = kSide}, net.arena,
      [&](int64_t, const std::vector<double>& p) {
        std::vector<float> logs(p.begin(), p.end()), back(21 * 35 * 3);
        for (float& x : logs) x = std::log(x);
        zoom_bilinear(logs.data(), kSide, kSide, 3, back.data(), 21, 35);
        for (const float* z = back.data(); z != back.data() + back.size(); z += 3) {
          wanted.push_back(largest(z));
          const double sum = std::exp(z[0]) + std::exp(z[1]) + std::exp(z[2]);
          for (int k = 0; k < 3; ++k) softmax_there.push_back(std::exp(z[k]) / sum);
        }
      });
  InferenceOptions o{.size = kSide, .bilinear_back = true};
  std::vector<double> given;
  const auto see = [&](int64_t, const std::vector<double>& p) {
    given.insert(given.end(), p.begin(), p.end());
  };
  EXPECT_EQ(segment({{&net.unet, &net.weights}}, v, o, net.arena, see).classes, wanted);
  EXPECT_NE(segment(net.unet, net.weights, v, {.size = kSide}, net.arena), wanted);
  ASSERT_EQ(given.size(), softmax_there.size());
  for (size_t i = 0; i < given.size(); ++i) ASSERT_NEAR(given[i], softmax_there[i], 1e-5) << i;
  o.fit = Fit::crop;
  EXPECT_THROW(segment(net.unet, net.weights, v, o, net.arena), Error);
}

TEST(Inference, ResizeIsZoomForwardArgmaxZoomBackForAnyBatch) {
  const Net net;
  const Volume v = random_volume(5, 13, 9);
  std::vector<std::vector<uint8_t>> masks;
  for (const Fit fit : {Fit::resize, Fit::bilinear}) {
    const auto zoom = fit == Fit::resize ? zoom_nearest<float> : zoom_bilinear<float>;
    std::vector<uint8_t>& want = masks.emplace_back(5 * 13 * 9);
    for (int64_t z = 0; z < 5; ++z) {
      std::vector<float> small(16 * 16);
      zoom(&v.image[z * 117], 13, 9, 1, small.data(), 16, 16);
      const std::vector<float> p = net.run(small, 16, 16);
      std::vector<uint8_t> labels(256);
      for (int i = 0; i < 256; ++i) labels[i] = largest(&p[i * 3]);
      zoom_nearest(labels.data(), 16, 16, 1, &want[z * 117], 13, 9);
    }
    for (int64_t batch : {1, 2, 5, 8})
      EXPECT_EQ(segment(net.unet, net.weights, v, {fit, 16, batch, 0.5}, net.arena), want) << batch;
    EXPECT_GT(std::set<uint8_t>(want.begin(), want.end()).size(), 1u) << "a constant mask proves nothing";
  }
  EXPECT_NE(masks[0], masks[1]);
}

TEST(Inference, SizesThatTheNetworkCannotTakeAreContinuedByReflection) {
  const Net net;
  const Volume v = random_volume(1, 18, 18);
  const std::vector<float> p = net.run(crop(v.image.data(), 18, 18, 0, 0, 20, 20), 20, 20);
  std::vector<uint8_t> want;
  for (int64_t y = 0; y < 18; ++y)
    for (int64_t x = 0; x < 18; ++x) want.push_back(largest(&p[(y * 20 + x) * 3]));
  EXPECT_EQ(segment(net.unet, net.weights, v, {Fit::resize, 18, 1, 0.5}, net.arena), want);
  EXPECT_EQ(
      segment(net.unet, net.weights, v, {Fit::crop, 20, 1, 0.5}, net.arena), want);  // smaller than a window
}

TEST(Inference, OverlappingWindowsAverageProbabilities) {
  const Net net;
  const Volume v = random_volume(2, 23, 16);
  std::vector<uint8_t> want;
  for (int64_t z = 0; z < 2; ++z) {
    const float* slice = &v.image[z * 23 * 16];
    std::vector<double> sum(23 * 16 * 3);
    for (int64_t y : {0, 3, 7}) {  // 16-windows over 23 rows at 75 % overlap
      const std::vector<float> p = net.run(crop(slice, 23, 16, y, 0, 16, 16), 16, 16);
      for (int64_t i = 0; i < 16 * 16 * 3; ++i) sum[y * 16 * 3 + i] += double(p[i]);
    }
    for (int64_t i = 0; i < 23 * 16; ++i)
      want.push_back(uint8_t(std::max_element(&sum[i * 3], &sum[i * 3] + 3) - &sum[i * 3]));
  }
  for (int64_t batch : {1, 8})
    EXPECT_EQ(segment(net.unet, net.weights, v, {Fit::crop, 16, batch, 0.75}, net.arena), want) << batch;
}

TEST(Inference, WindowsCoverTheImageEvenly) {
  using Begins = std::vector<int64_t>;
  EXPECT_EQ(tile_begins(10, 16, 0.5), (Begins{0}));
  EXPECT_EQ(tile_begins(16, 16, 0.5), (Begins{0}));
  EXPECT_EQ(tile_begins(17, 16, 0), (Begins{0, 1}));
  EXPECT_EQ(tile_begins(48, 16, 0), (Begins{0, 16, 32}));
  EXPECT_EQ(tile_begins(775, 256, 0.5), (Begins{0, 103, 207, 311, 415, 519}));
  EXPECT_EQ(tile_begins(522, 256, 0.5), (Begins{0, 88, 177, 266}));
}

TEST(Inference, ColourVolumesAndGrayNetworksAreToldApart) {
  const Net grey, colour(3);
  const Volume v = random_volume(1, 16, 12, 3);
  EXPECT_EQ(segment(colour.unet, colour.weights, v, {Fit::resize, 16, 1, 0.5}, colour.arena).size(), 192u);
  try {
    segment(grey.unet, grey.weights, v, {}, grey.arena);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::data);
    EXPECT_NE(std::string(e.what()).find("'case' has 3 channel(s), the network was trained with 1"),
        std::string::npos)
        << e.what();
  }
}

TEST(Inference, ValidationScoresTheSegmentation) {
  const Net net;
  Volume v = random_volume(3, 16, 16);
  const InferenceOptions options{Fit::resize, 16, 8, 0.5};
  v.label = segment(net.unet, net.weights, v, options, net.arena);
  int64_t seen = 0;
  const Summary perfect = validate(
      net.unet, net.weights, 2, [&](int64_t) { return v; }, options, MetricOptions::ssl4mis(), net.arena,
      [&](const Volume&, const auto& prediction, const CaseScores&) {
        seen += prediction.classes == v.label;
      });
  EXPECT_EQ(seen, 2);
  ASSERT_EQ(perfect.classes.size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    const bool present = std::count(v.label.begin(), v.label.end(), i + 1) > 0;
    EXPECT_EQ(perfect.classes[i].dice, present ? 1 : 0);
    EXPECT_EQ(perfect.classes[i].hd95, 0);
  }
  v.label[7] = 3;
  try {
    validate(
        net.unet, net.weights, 1, [&](int64_t) { return v; }, options, {}, net.arena);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::data);
    EXPECT_NE(std::string(e.what()).find("'case' holds class 3"), std::string::npos) << e.what();
  }
}
