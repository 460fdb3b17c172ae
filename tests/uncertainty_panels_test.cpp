// What uncertainty gates see of held-out cases, against what they do to their features, and in the pictures.
#include "train/evaluate/uncertainty_panels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "data/formats/image.h"
#include "tensor/random.h"
#include "tests/command_line.h"
#include "train/evaluate/held_out_pictures.h"
#include "train/evaluate/report.h"

using namespace patchcl;

namespace {

// Numbers (h,w).
struct Map {
  int64_t h, w;
  std::vector<float> values;
  // At a pixel of an image of that size.
  float at(int64_t y, int64_t x, int64_t height, int64_t width) const {
    return values[size_t(y * h / height * w + x * w / width)];
  }
};

// A small network with gates and random weights.
struct GatedNet {
  Arena arena{"test"};
  ParamLayout layout;
  UNet unet;
  ParamStore weights;
  explicit GatedNet(Gates gates = Gates::all)
      : unet(layout, {.classes = 2, .widths = {4, 6, 8}, .dropout = {0, 0, 0}, .gates = gates}),
        weights(layout, arena, DType::f32, false) {
    weights.init(11);
    // Larger than a fresh network's, so that the maps follow the noise of the image.
    for (int64_t i = 0; i < layout.flat_size(); ++i) weights.values().data<float>()[i] *= 1.6f;
  }
  Predictor predictor() const { return {&unet, &weights}; }

  // H of each gate on an image (h,w): a gate multiplies each of its features by 2 - H.
  std::vector<Map> by_hand(const std::vector<float>& image, int64_t h, int64_t w) const {
    const Tensor x = arena.empty({1, h, w, 1}, DType::f32);
    std::copy(image.begin(), image.end(), x.data<float>());
    Tape tape(arena, {.grad = false, .keep = true});
    Pass pass(tape, weights, false);
    unet.forward(pass, tape.constant(x));
    std::vector<Map> maps;
    for (const Tape::Node& node : tape.nodes())
      if (node.op && std::string(node.op->name()) == "entropy_gate")
        maps.push_back(removed(tape.nodes()[size_t(node.inputs[0])].value, node.value));
    return maps;
  }
  static Map removed(const Tensor& in, const Tensor& out) {
    const Shape& s = in.shape();
    Map map{s[1], s[2], {}};
    for (int64_t i = 0; i < s[1] * s[2]; ++i) {
      int64_t largest = i * s[3];
      for (int64_t k = i * s[3]; k < (i + 1) * s[3]; ++k)
        if (std::fabs(in.data<float>()[k]) > std::fabs(in.data<float>()[largest])) largest = k;
      map.values.push_back(2 - out.data<float>()[largest] / in.data<float>()[largest]);
    }
    return map;
  }
};

Volume noise(uint64_t seed, int64_t depth, int64_t height, int64_t width) {
  Volume v;
  v.depth = depth;
  v.height = height;
  v.width = width;
  Rng rng(seed);
  for (int64_t i = 0; i < depth * height * width; ++i) v.image.push_back(float(rng.uniform(0, 1)));
  v.label.assign(v.image.size(), 0);
  return v;
}

// The columns from `begin` on of a slice.
std::vector<float> cut(const Volume& v, int64_t slice, int64_t begin, int64_t width) {
  std::vector<float> image;
  for (int64_t y = 0; y < v.height; ++y)
    for (int64_t x = begin; x < begin + width; ++x)
      image.push_back(v.image[size_t((slice * v.height + y) * v.width + x)]);
  return image;
}

constexpr int64_t kSide = 16;

}  // namespace

TEST(UncertaintyPanels, MapsAreWhatTheGatesDoToTheirFeatures) {
  const GatedNet net;
  EXPECT_EQ(net.unet.gate_names(),
      (std::vector<std::string>{"encoder 0", "encoder 1", "encoder 2", "decoder 1", "decoder 0"}));
  EXPECT_EQ(GatedNet(Gates::decoder).unet.gate_names(), (std::vector<std::string>{"decoder 1", "decoder 0"}));
  const Volume v = noise(5, 3, kSide, kSide);
  for (const int64_t slice : {0, 2}) {
    const auto maps = gate_uncertainty(net.predictor(), v, slice, {.size = kSide}, net.arena);
    const std::vector<Map> wanted = net.by_hand(cut(v, slice, 0, kSide), kSide, kSide);
    ASSERT_EQ(maps.size(), 5u);
    ASSERT_EQ(wanted.size(), 5u);
    EXPECT_EQ(wanted[2].h, kSide / 4);
    for (size_t g = 0; g < maps.size(); ++g) {
      const auto [least, most] = std::minmax_element(maps[g].begin(), maps[g].end());
      EXPECT_GT(*most, *least + 0.02) << "a map that shows nothing, " << net.unet.gate_names()[g];
      for (int64_t i = 0; i < kSide * kSide; ++i)
        ASSERT_NEAR(maps[g][size_t(i)], wanted[g].at(i / kSide, i % kSide, kSide, kSide), 1e-3)
            << "slice " << slice << ", " << net.unet.gate_names()[g] << ", pixel " << i;
    }
  }
}

// Two windows of 16 columns on 24: both see the columns 8 to 15.
TEST(UncertaintyPanels, OverlappingWindowsAverageMaps) {
  const GatedNet net;
  const Volume v = noise(6, 1, kSide, 24);
  const auto maps =
      gate_uncertainty(net.predictor(), v, 0, {.fit = Fit::crop, .size = kSide, .overlap = 0.5}, net.arena);
  const auto left = net.by_hand(cut(v, 0, 0, kSide), kSide, kSide),
             right = net.by_hand(cut(v, 0, 8, kSide), kSide, kSide);
  for (size_t g = 0; g < maps.size(); ++g)
    for (int64_t y = 0; y < kSide; ++y)
      for (int64_t x = 0; x < 24; ++x) {
        double sum = 0, count = 0;
        if (x < kSide) sum += left[g].at(y, x, kSide, kSide), ++count;
        if (x >= 8) sum += right[g].at(y, x - 8, kSide, kSide), ++count;
        ASSERT_NEAR(maps[g][size_t(y * 24 + x)], sum / count, 1e-3) << g << " at " << y << "," << x;
      }
}

// The pixels of the files are the maps of the case that the file is of: encoder 0, and decoder 0 below it.
TEST(UncertaintyPanels, OverlaysOfHeldOutCasesShowTheMapsOfTheCase) {
  const test::TemporaryFolder folder;
  const GatedNet net, plain(Gates::none);
  const InferenceOptions inference{.size = kSide};
  const Volume good = noise(7, 1, kSide, kSide), bad = noise(8, 1, kSide, kSide);
  for (const GatedNet* network : {&net, &plain}) {
    HeldOutPictures pictures({"heart"}, network->predictor(), inference, network->arena);
    for (const auto& [v, dice] : {std::pair(&good, 0.9), {&bad, 0.1}})
      pictures.see(*v, v->label, {"case", {{dice, dice, 1, 1}}});
    pictures.draw(folder / (network == &net ? "gated" : "plain"), ".png", 0);
  }
  for (const auto& [name, v] : {std::pair("best", &good), {"worst", &bad}}) {
    const Canvas above = overlay(*v, v->label, {"heart Dice 0.900"});
    EXPECT_EQ(read_image(folder / "plain/" + name + ".png").height, above.height());
    const Grid page = read_image(folder / "gated/" + name + ".png");
    const int64_t side = (above.width() - 6) / 3 - 6, first = above.height() + 39, second = first + side + 17;
    ASSERT_GT(page.height, second + side);
    const std::vector<Map> maps = net.by_hand(v->image, kSide, kSide);
    for (const auto& [top, map] : {std::pair(first, maps.front()), {second, maps.back()}})
      for (int64_t y = 0; y < side; y += 5)
        for (int64_t x = 0; x < side; x += 5) {
          const Color wanted = heat_color(map.at(y * kSide / side, x * kSide / side, kSide, kSide));
          for (size_t c = 0; c < 3; ++c)
            ASSERT_NEAR(page.values[size_t(((top + y) * page.width + 6 + x) * 3) + c], wanted[c], 1)
                << name << " at " << y << "," << x;
        }
  }
}
