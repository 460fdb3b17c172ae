// What eval and predict do around the network: turns, several networks, components, probabilities, names.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "data/components.h"
#include "data/formats/readers.h"
#include "tests/command_line.h"
#include "tests/small_model.h"
#include "train/evaluate/inference.h"

using namespace patchcl;
using namespace patchcl::test;
using patchcl::test::Outcome;

namespace {

// A quarter turn of each slice.
template <class T> std::vector<T> turned(const std::vector<T>& in) {
  std::vector<T> out(in.size());
  for (size_t i = 0; i < in.size(); ++i) {
    const size_t z = i / (kSide * kSide), y = i / kSide % kSide, x = i % kSide;
    out[(z * kSide + x) * kSide + kSide - 1 - y] = in[i];
  }
  return out;
}

std::vector<double> probabilities(const Ensemble& networks, const Volume& v, const InferenceOptions& o) {
  const Arena arena("test");
  std::vector<double> all;
  segment(networks, v, o, arena,
      [&](int64_t, const std::vector<double>& p) { all.insert(all.end(), p.begin(), p.end()); });
  return all;
}

}  // namespace

TEST(AfterNetwork, WithAllTurnsATurnedImageHasTheTurnedMask) {
  const Arena arena("test");
  const auto model = random_model(4, arena);
  const Ensemble one{{&model->unet, &model->weights}};
  const Volume v = noise(2);
  Volume w = v;
  w.image = turned(v.image);
  for (const Fit fit : {Fit::resize, Fit::crop}) {
    InferenceOptions o{.fit = fit, .size = kSide};
    EXPECT_NE(segment(one, w, o, arena).classes, turned(segment(one, v, o, arena).classes));
    o.turns = true;
    EXPECT_EQ(segment(one, w, o, arena).classes, turned(segment(one, v, o, arena).classes));
  }
}

TEST(AfterNetwork, SeveralNetworksPredictTheMeanOfTheirProbabilities) {
  const Arena arena("test");
  const auto a = random_model(4, arena), b = random_model(5, arena);
  const Volume v = noise(1);
  const InferenceOptions o{.size = kSide};
  const Predictor pa{&a->unet, &a->weights}, pb{&b->unet, &b->weights};
  const std::vector<double> of_a = probabilities({pa}, v, o), of_b = probabilities({pb}, v, o),
                            of_both = probabilities({pa, pb}, v, o);
  ASSERT_EQ(of_both.size(), size_t(kSide * kSide * 3));
  EXPECT_NE(of_a, of_b);
  for (size_t i = 0; i < of_both.size(); ++i) EXPECT_NEAR(of_both[i], (of_a[i] + of_b[i]) / 2, 1e-6);
}

TEST(AfterNetwork, TheLargestComponentIsOfTheWholeVolume) {
  // Class 1: three voxels in a row in slice 0; two and two, touching at a corner across slices 1 and 2.
  std::vector<uint8_t> y(3 * 3 * 8);
  for (const size_t i : {0, 1, 2, 24 + 4, 24 + 5, 48 + 8 + 6, 48 + 8 + 7}) y[i] = 1;
  EXPECT_EQ(find_components(y.data(), 3, 8, 3).list.size(), 2u);
  keep_largest_components(y.data(), 3, 8, 3);
  EXPECT_EQ(std::count(y.begin(), y.end(), 1), 4);
  EXPECT_EQ(y[0], 0);

  const Arena arena("test");
  const auto model = random_model(4, arena);
  const Volume v = noise(2);
  InferenceOptions o{.size = kSide};
  std::vector<uint8_t> want = segment(model->unet, model->weights, v, o, arena);
  const std::vector<uint8_t> all = want;
  keep_largest_components(want.data(), kSide, kSide, 2);
  o.largest_component = true;
  EXPECT_EQ(segment(model->unet, model->weights, v, o, arena), want);
  EXPECT_NE(all, want);
}

TEST(AfterNetwork, PredictWritesProbabilitiesOverlaysAndNnUNetsNames) {
  const TemporaryFolder folder;
  const Arena arena("test");
  save_model(folder / "a.safetensors", *random_model(4, arena));
  save_model(folder / "b.safetensors", *random_model(5, arena));
  std::filesystem::create_directory(folder / "in");
  for (const std::string name : {"one_0000.png", "tile_0000.png", "tile_0001.png"})
    save_picture(folder / "in/" + name);
  const Outcome o = run_patchcl("predict --weights " + folder / "a.safetensors," + folder / "b.safetensors " +
                                "--tta --probabilities --overlays " + folder / "pictures " + folder / "in " +
                                folder / "out");
  ASSERT_EQ(o.code, 0) << o.output;
  EXPECT_TRUE(contains(o.output, "3/3 ") && contains(o.output, " left\n")) << o.output;
  for (const std::string name : {"one", "tile_0000", "tile_0001"}) {
    const Grid mask = read_grid(folder / "out/" + name + ".png");
    const TensorFile file = load_tensors(folder / "out/" + name + ".probabilities.safetensors", arena);
    const Tensor p = file.tensors.at("probabilities");
    ASSERT_EQ(p.shape(), (Shape{1, kSide, kSide, 3}));
    for (int64_t i = 0; i < kSide * kSide; ++i) {
      const float* at = p.data<float>() + i * 3;
      EXPECT_NEAR(at[0] + at[1] + at[2], 1, 1e-5);
      EXPECT_EQ(at[int(mask.values[size_t(i)])], *std::max_element(at, at + 3));
    }
  }
  EXPECT_TRUE(std::filesystem::exists(folder / "pictures/tile_0001.svg"));
}

TEST(AfterNetwork, WhatDoesNotFitTogetherIsRefused) {
  const TemporaryFolder folder;
  const Arena arena("test");
  save_model(folder / "a.safetensors", *random_model(4, arena));
  save_model(folder / "two.safetensors", *random_model(4, arena, 2));
  std::filesystem::create_directory(folder / "in");
  save_picture(folder / "in/one.png");
  save_picture(folder / "in/one_0000.png");
  const std::string io = folder / "in " + folder / "out";
  Outcome o = run_patchcl("predict --weights " + folder / "a.safetensors " + io);
  EXPECT_EQ(o.code, int(ExitCode::usage)) << o.output;
  EXPECT_TRUE(contains(o.output, "would both become")) << o.output;
  o = run_patchcl(
      "predict --weights " + folder / "a.safetensors --weights " + folder / "two.safetensors " + io);
  EXPECT_EQ(o.code, int(ExitCode::usage)) << o.output;
  EXPECT_TRUE(contains(o.output, "must agree")) << o.output;
}

TEST(AfterNetwork, EvalCountsObjects) {
  const TemporaryFolder folder;
  const Arena arena("test");
  save_model(folder / "a.safetensors", *random_model(4, arena, 4));
  const std::string eval = "eval --weights " + folder / "a.safetensors --data phantom:cases=3,val=2,size=32,";
  Outcome o = run_patchcl(eval + "slices=1 --objects --min-size 4 --overlays " + folder / "pictures");
  EXPECT_EQ(o.code, 0) << o.output;
  EXPECT_TRUE(contains(o.output, "pooled ")) << o.output;
  EXPECT_FALSE(std::filesystem::is_empty(folder / "pictures"));
  o = run_patchcl(eval + "slices=2 --objects");
  EXPECT_EQ(o.code, int(ExitCode::usage)) << o.output;
}
