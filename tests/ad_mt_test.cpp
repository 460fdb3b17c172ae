// AD-MT's two teachers and their turns; UniMatch's views and cuts.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "tests/command_line.h"
#include "tests/small_learner.h"
#include "train/methods/ad_mt.h"
#include "train/setup/checkpoint.h"

using namespace patchcl;
using namespace patchcl::test;

TEST(AdMt, TheSecondTeacherBeginsAsTheStudentThatWasLoaded) {
  TemporaryFolder folder;
  const Arena memory("test");
  TensorFile weights, state;
  Learner other("ad-mt", {}, small()), learner("ad-mt", {}, small());
  fill(other.student().values(), 0.25);
  put_weights(weights, other.student(), 0);
  save_tensors(folder / "w.safetensors", weights);
  start_from_weights(learner, folder / "w.safetensors");
  learner.method().save(state);
  const Tensor &second = state.tensors.at("second_teacher.values"), &student = learner.student().values();
  ASSERT_EQ(second.bytes(), student.bytes());
  EXPECT_EQ(std::memcmp(second.raw(), student.raw(), second.bytes()), 0);
  EXPECT_EQ(learner.student().value(0).item(0), 0.25);
}

TEST(AdMt, ARandomSecondTeacherHasWeightsOfItsOwnUntilItsFirstTurn) {
  const Arena memory("test");
  LearnerOptions o = small();
  o.run.iterations = 60;
  Learner learner("ad-mt", {{"second-teacher", "random"}}, o);
  const auto is_copy = [&] {
    TensorFile state;
    learner.method().save(state);
    const Tensor &second = state.tensors.at("second_teacher.values"), &student = learner.student().values();
    return std::memcmp(second.raw(), student.raw(), second.bytes()) == 0;
  };
  EXPECT_FALSE(is_copy());
  const Batch batch = random_batch(learner, memory);
  while (first_teacher_is_active(o.seed, learner.iteration())) {
    learner.step(batch);
    EXPECT_FALSE(is_copy());
  }
  learner.step(batch);
  EXPECT_TRUE(is_copy());
}

TEST(AdMt, WithoutCutMixBothTeachersTurnsShowOtherColours) {
  const Arena memory("test");
  LearnerOptions o = small();
  o.run.iterations = 60;
  for (const bool cuts : {true, false}) {
    Learner learner("ad-mt", {{"cutmix", cuts ? "true" : "false"}, {"confidence", "0"}}, o);
    while (first_teacher_is_active(o.seed, learner.iteration())) learner.go_to(learner.iteration() + 1);
    Batch batch = random_batch(learner, memory);
    const double before = loss_of(learner, batch);
    fill(batch.views[1].images, 0.5);
    EXPECT_EQ(loss_of(learner, batch) == before, cuts);
  }
}

TEST(AdMt, TeachersTakeTurnsOfOneToFiftySteps) {
  std::vector<int64_t> turns;
  int64_t length = 0;
  for (int64_t t = 0; t < 20000; ++t) {
    ++length;
    if (first_teacher_is_active(3, t) == first_teacher_is_active(3, t + 1)) continue;
    turns.push_back(length);
    length = 0;
  }
  double sum = 0;
  for (const int64_t n : turns) {
    EXPECT_TRUE(n >= 1 && n <= 50) << n;
    sum += double(n);
  }
  EXPECT_NEAR(sum / double(turns.size()), 25.5, 2);
  EXPECT_TRUE(first_teacher_is_active(3, 0));
}

TEST(AdMt, TeachersAreCopiesFirstAndThenAverages) {
  EXPECT_EQ(alternating_alpha(99, 0.99), 0);
  EXPECT_EQ(alternating_alpha(100, 0.99), 0);
  EXPECT_DOUBLE_EQ(alternating_alpha(102, 0.99), 0.5);
  EXPECT_DOUBLE_EQ(alternating_alpha(118, 0.99), 0.9);
  EXPECT_DOUBLE_EQ(alternating_alpha(30000, 0.99), 0.99);
}

TEST(AdMt, TheSurerTeacherWeighsMore) {
  const Arena memory("test");
  const Tensor p1 = memory.empty({1, 1, 2, 2}, DType::f32), p2 = memory.empty({1, 1, 2, 2}, DType::f32),
               y = memory.empty({1, 1, 2}, DType::u8), c = memory.empty({1, 1, 2}, DType::f32),
               d = memory.empty({1, 1, 2}, DType::u8);
  // The first pixel: certain of class 1 against undecided with a lead of class 0; the second: agreed.
  const float one[] = {0, 1, 0.75f, 0.25f}, two[] = {0.6f, 0.4f, 0.75f, 0.25f};
  std::copy(one, one + 4, p1.data<float>());
  std::copy(two, two + 4, p2.data<float>());
  decide_ensemble(p1, p2, y, c, d);
  const double h = -(0.6 * std::log2(0.6) + 0.4 * std::log2(0.4)), w = 1 / (1 + std::exp(-h));
  EXPECT_EQ(y.item(0), 1);
  EXPECT_NEAR(c.item(0), w + (1 - w) * 0.4, 1e-6);
  EXPECT_EQ(d.item(0), 1);
  EXPECT_EQ(y.item(1), 0);
  EXPECT_NEAR(c.item(1), 0.75, 1e-6);
  EXPECT_EQ(d.item(1), 0);
}

TEST(UniMatch, UnlabelledImagesAreOfEightBitsAndLabelledOnesAreNot) {
  const Arena memory("test");
  Learner learner("unimatch", {{"confidence", "0"}}, small());
  ASSERT_EQ(learner.phase().views.size(), 4u);
  EXPECT_EQ(learner.phase().views[3].look, Look::eight_bits);
  Batch batch = random_batch(learner, memory);
  const int64_t n = batch.labeled;
  const double before = loss_of(learner, batch);
  fill(batch.views[0].images.rows(n, batch.unlabeled()), 0.5);
  fill(batch.views[3].images.rows(0, n), 0.5);
  EXPECT_EQ(loss_of(learner, batch), before);
  fill(batch.views[3].images.rows(n, batch.unlabeled()), 0.5);
  EXPECT_NE(loss_of(learner, batch), before);
  EXPECT_EQ(Learner("unimatch", {{"eight-bits", "false"}}, small()).phase().views.size(), 3u);
}

TEST(UniMatch, CutsLieInsideAndHaveTheAreasAsked) {
  int cut = 0;
  for (uint64_t seed = 0; seed < 1000; ++seed) {
    Rng rng(seed);
    const Box b = random_cut(64, 48, rng);
    if (b.height == 0) continue;
    ++cut;
    EXPECT_TRUE(b.top >= 0 && b.left >= 0 && b.top + b.height <= 64 && b.left + b.width <= 48);
    const double share = double(b.height * b.width) / (64 * 48), aspect = double(b.height) / double(b.width);
    EXPECT_TRUE(share > 0.015 && share <= 0.4) << share;
    EXPECT_TRUE(aspect > 0.25 && aspect < 4) << aspect;
  }
  EXPECT_NEAR(cut, 500, 60);
}

// METHODS 7.5: the area is drawn once, however often a box of it does not fit.
TEST(UniMatch, LargeCutsAreAsFrequentAsSmallOnes) {
  double sum = 0, large = 0, cut = 0;
  for (uint64_t seed = 0; seed < 20000; ++seed) {
    Rng rng(seed);
    const Box b = random_cut(640, 480, rng);
    const double share = double(b.height * b.width) / (640 * 480);
    sum += share;
    large += share > 0.3;
    cut += share > 0;
  }
  EXPECT_NEAR(sum / cut, 0.21, 0.003);
  EXPECT_NEAR(large / cut, 0.1 / 0.38, 0.015);
}
