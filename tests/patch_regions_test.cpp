// Windows of PatchCL pooled by their class: of the map of the decoder (METHODS 1.13, V1), of the map of the
// encoder of a plain patch (V2).
#include "train/methods/patch_regions.h"

#include <gtest/gtest.h>

#include "train/setup/learner.h"

using namespace patchcl;

namespace {

LearnerOptions small() {
  LearnerOptions o;
  o.network = {.classes = 3, .widths = {4, 8}, .dropout = {0, 0}};
  o.run = {.iterations = 100, .batch = 4, .size = 16};
  return o;
}

// A step of no particular batch.
struct SomeStep {
  Arena memory{"test"};
  Learner learner{"patchcl", {}, small()};
  Tape tape{memory, {.grad = false}};
  LossTerms log;
  Batch none;
  Step step{tape, learner.state(), none, log};
};

}  // namespace

TEST(PatchRegions, WeightsAreTheClasssShareOfItsWindow) {
  const int64_t K = 2, side = 2;
  std::vector<float> image(16, 1), confidence(32, 0);
  for (int64_t m = 0; m < 16; ++m) confidence[size_t(m * K + 1)] = float(m);
  const PatchImages batch{1, 4, 4, 1, K, image.data(), confidence.data()};
  const SomeStep any;
  const std::vector<Patch> drawn{{.image = 0, .top = 1, .left = 2, .label = 1}, {.top = 2, .left = 0}};
  const Regions r = regions_of(any.step, batch, drawn, side);
  const float sum = 6 + 7 + 10 + 11, want[] = {6 / sum, 7 / sum, 10 / sum, 11 / sum, 0.25, 0.25, 0.25, 0.25};
  for (int64_t i = 0; i < 8; ++i) EXPECT_FLOAT_EQ(r.weights.data<float>()[i], want[i]) << i;
  EXPECT_EQ(r.classes, (std::vector<int32_t>{1, 0}));
  EXPECT_EQ(r.windows.item(1), 1);
  EXPECT_EQ(r.windows.item(2), 2);
}

// What the student saw in the place of unlabelled images is what its windows are drawn on.
TEST(PatchRegions, MixedImagesStandBehindTheLabelledOnes) {
  const SomeStep any;
  const Arena host("images");
  const auto filled = [&](const Shape& shape, double value) {
    const Tensor t = host.empty(shape, DType::f32);
    fill(t, value);
    return t;
  };
  Batch b;
  b.labeled = 1;
  b.views.push_back({filled({3, 4, 4, 1}, 0.25), host.zeros({3, 4, 4}, DType::u8)});
  LossTerms log;
  const Step step{any.step.tape, any.step.s, b, log};
  const Tensor target = filled({2, 4, 4, 3}, 0.5);
  const Place place = step.place(/*host_only=*/true);
  const SeenImages plain(step, target, 3, place), mixed(step, target, 3, place, filled({2, 4, 4, 1}, 0.75));
  for (int64_t m = 0; m < 48; ++m) {
    EXPECT_EQ(plain.batch.images[m], 0.25f);
    EXPECT_EQ(mixed.batch.images[m], m < 16 ? 0.25f : 0.75f) << m;
  }
}

// An image that is its own confidence: the attention is the mean of the patch over each cell, as a share.
TEST(PatchRegions, AttentionMovesWithTheView) {
  const int64_t K = 2, extent = 12, side = 8, level = 2, cells = 2;
  std::vector<float> image(extent * extent), confidence(extent * extent * K, 0);
  Rng random(3);
  for (size_t m = 0; m < image.size(); ++m)
    confidence[m * K + 1] = image[m] = float(0.2 + 0.6 * random.uniform());
  const PatchImages batch{1, extent, extent, 1, K, image.data(), confidence.data()};
  const std::vector<Patch> drawn{{.top = 1, .left = 3, .label = 1}, {.top = 4, .left = 0, .label = 1}};
  std::vector<PatchView> views;
  for (size_t i = 0; i < drawn.size(); ++i) {
    views.push_back(draw_view(side, 1, random));
    views.back().noise = 0;  // intensities stay
    views.back().contrast = views.back().brightness = 1;
  }
  views[0].column.mirror = true;
  views[0].row.extent = side - 2;
  const SomeStep any;
  const Arena memory("test");
  for (const bool seen : {false, true}) {
    const Tensor shown = memory.empty({2, side, side, 1}, DType::f32);
    if (seen) view_patches(batch, drawn, views, /*attended=*/false, shown);
    else cut_patches(batch, drawn, /*attended=*/false, shown);
    const Tensor w =
        attention_of(any.step, batch, drawn, seen ? views : std::vector<PatchView>{}, side, level);
    ASSERT_EQ(w.shape(), Shape({2, cells, cells}));
    for (int64_t i = 0; i < 2; ++i) {
      double cell[cells * cells] = {}, sum = 0;
      for (int64_t at = 0; at < side * side; ++at) {
        const double v = double(shown.data<float>()[i * side * side + at]);
        cell[at / side / 4 * cells + at % side / 4] += v;
        sum += v;
      }
      for (int64_t u = 0; u < cells * cells; ++u)
        EXPECT_NEAR(w.item(i * cells * cells + u), cell[u] / sum, 1e-6);
    }
  }
  const std::vector<Patch> empty{{.label = 0}};
  EXPECT_FLOAT_EQ(float(attention_of(any.step, batch, empty, {}, side, level).item(3)), 0.25f);
}

TEST(PatchRegions, AttentionWantsALevelOfTheNetwork) {
  EXPECT_THROW(Learner("patchcl", {{"embed", "attention"}, {"embed-level", "2"}}, small()), Error);
  EXPECT_THROW(Learner("patchcl", {{"embed-level", "1"}}, small()), Error) << "without effect";
  EXPECT_NO_THROW(Learner("patchcl", {{"embed", "attention"}, {"embed-level", "1"}}, small()));
}
