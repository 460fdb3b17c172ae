// The parts of PatchCL's contrastive term, each on inputs whose answer is plain to see: the patches that it
// draws, and the moments that stand in where no hard negative is found.
#include "tests/patchcl_parts.h"

#include <cmath>

using namespace patchcl;
using namespace patchcl::test;

namespace {

// The share of pixels that `shown` holds for.
template <class F> double share(const Tensor& patches, const std::vector<int32_t>& classes, F shown) {
  const int64_t pixels = kPatchSide * kPatchSide;
  EXPECT_EQ(patches.numel(), int64_t(classes.size()) * pixels);
  double count = 0;
  for (int64_t i = 0; i < patches.numel(); ++i)
    count += shown(patches.data<float>()[i], classes[size_t(i / pixels)]);
  return count / double(patches.numel());
}

}  // namespace

TEST_F(PatchClParts, AttendedPatchesShowTheirClassAloneInBothViews) {
  const Patches drawn = make({}).draw_patches(step_at(0), {});
  ASSERT_FALSE(drawn.classes.empty());
  const auto own = [](float x, int32_t k) { return x == shade(k); };
  const auto black = [](float x, int32_t) { return x == 0; };
  EXPECT_NEAR(share(drawn.plain, drawn.classes, own), 1. / 3, 0.05);
  EXPECT_EQ(share(drawn.plain, drawn.classes, own) + share(drawn.plain, drawn.classes, black), 1);
  EXPECT_NEAR(share(drawn.augmented, drawn.classes, black), 2. / 3, 0.1);
}

TEST_F(PatchClParts, PatchesThatAreNotAttendedAreTheImages) {
  const Patches drawn = make({{"attended-patches", "false"}}).draw_patches(step_at(0), {});
  ASSERT_FALSE(drawn.classes.empty());
  EXPECT_EQ(share(drawn.plain, drawn.classes, [](float x, int32_t) { return x == 0; }), 0);
  EXPECT_NEAR(
      share(drawn.plain, drawn.classes, [](float x, int32_t k) { return x == shade(k); }), 1. / 3, 0.05);
}

TEST_F(PatchClParts, AreaFilterWaitsForTheEndOfTheWarmUp) {
  EXPECT_FALSE(make({}).draw_patches(step_at(3), {}).classes.empty());
  EXPECT_TRUE(make({}).draw_patches(step_at(4), undecided()).classes.empty()) << "areas of 1/3 are below 1/2";
  EXPECT_FALSE(make({{"area-filter", "off"}}).draw_patches(step_at(4), undecided()).classes.empty());
}

TEST_F(PatchClParts, AreaFilterAimsAtTheShareThatIsAskedFor) {
  for (const auto& [target, threshold] : {std::pair("0.2", 0.3), {"0.8", 0.}}) {
    OpenPatchCl& method = make({{"area-target", target}});
    EXPECT_TRUE(method.draw_patches(step_at(4), undecided()).classes.empty());
    TensorFile file;
    method.save(file);  // of 0.5, moved by what is kept, nothing, less what should be
    EXPECT_NEAR(file.tensors.at("area_filter.threshold").item(0), threshold, 1e-12) << target;
  }
}

TEST_F(PatchClParts, AStepHasAsManyPatchesOfAClassAsAsked) {
  for (const int64_t patches : {3, 5}) {
    const Patches drawn = make({{"patches", std::to_string(patches)}}).draw_patches(step_at(0), {});
    for (int32_t k = 0; k < int32_t(kClasses); ++k) EXPECT_EQ(std::ranges::count(drawn.classes, k), patches);
  }
}

// A row of the embeddings belongs to its patch, whatever the others are.
TEST_F(PatchClParts, AttentionPoolsEachPatchForItself) {
  OpenPatchCl& method = make({{"embed", "attention"}, {"embed-level", "1"}, {"embedding", "6"}});
  Step step = step_at(0);
  const Tensor patches = arena_.empty({3, kPatchSide, kPatchSide, 1}, DType::f32),
               swapped = arena_.empty(patches.shape(), DType::f32);
  Rng rng(1);
  for (int64_t i = 0; i < patches.numel(); ++i) patches.data<float>()[i] = float(rng.uniform());
  for (const auto& [from, to] : {std::pair<int64_t, int64_t>{0, 0}, {1, 2}, {2, 1}})
    copy(patches.rows(from, 1), swapped.rows(to, 1));
  const Tensor even = arena_.empty({3, kPatchSide / 2, kPatchSide / 2}, DType::f32);
  fill(even, 4. / (kPatchSide * kPatchSide));
  const Tensor a = method.teacher_embeddings(step, patches, even),
               b = method.teacher_embeddings(step, swapped, even);
  for (int64_t d = 0; d < 6; ++d) {
    EXPECT_NEAR(a.item(d), b.item(d), 1e-5);
    EXPECT_NEAR(a.item(6 + d), b.item(12 + d), 1e-5);
    EXPECT_NEAR(a.item(12 + d), b.item(6 + d), 1e-5);
  }
  double apart = 0;
  for (int64_t d = 0; d < 6; ++d) apart += std::abs(double(a.item(d) - a.item(6 + d)));
  EXPECT_GT(apart, 1e-2);
}

TEST_F(PatchClParts, WindowIsPositiveAsOftenAsItShowsItsClass) {
  std::vector<float> images(kSide * kSide, 0.5f), confidence;
  for (int64_t i = 0; i < kSide * kSide; ++i) confidence.insert(confidence.end(), {0.7f, 0.3f});
  const PatchImages batch{1, kSide, kSide, 1, 2, images.data(), confidence.data(), nullptr};
  const PatchOptions options{.side = kPatchSide, .stride = 1};
  Rng rng(1);
  const auto windows = candidates(batch, window_statistics(batch, options), 1, options, rng);
  const auto positive =
      std::count_if(windows.begin(), windows.end(), [](const Patch& w) { return w.positive; });
  EXPECT_NEAR(double(positive) / double(windows.size()), 0.3, 0.1) << "three deviations of 289 windows";
}

namespace {
// Numbers [row n, row n + n), where n is 2 for means and 4 for covariances.
std::vector<float> row_of(const Var& x, int64_t row, int64_t n) {
  const float* at = x.value().data<float>() + row * n;
  return {at, at + n};
}
constexpr int64_t kSquare = kDimension * kDimension;
}  // namespace

// The closest pair of classes 0 and 1 is one point: there is no slab between them, and class 1 stands for
// itself.
TEST_F(PatchClParts, NegativeClassWithoutSlabKeepsItsOwnMoments) {
  OpenPatchCl& method = make_queued({});
  fill_queues(method, {{1, 0, 1, 0}, {1, 0, 0, 1}});
  Step step = step_at(0);
  const ClassStatistics s = method.statistics(step, keys_of(arena_, {1, 0}), {0});
  for (int64_t d = 0; d < kDimension; ++d)
    EXPECT_EQ(s.negative_mean.value().data<float>()[1 * kDimension + d], 0.5f)
        << "row (0,1) is class 1's mean";
}

// The student's windows are drawn apart from the teacher's: it may see a class of which there is no key.
TEST_F(PatchClParts, NegativesOfAClassWithoutKeysAreTheClassesThemselves) {
  OpenPatchCl& method = make_queued({});
  fill_queues(method, {{1, 0, 0, 1}, {0.6f, 0.8f, 0.8f, 0.6f}});
  Step step = step_at(0);
  const ClassStatistics s = method.statistics(step, keys_of(arena_, {1, 0}), {0});
  const int64_t of_class_0_for_1 = 1 * kClasses + 0;
  EXPECT_EQ(row_of(s.negative_mean, of_class_0_for_1, kDimension), row_of(s.mean, 0, kDimension));
  EXPECT_EQ(row_of(s.negative_covariance, of_class_0_for_1, kSquare), row_of(s.covariance, 0, kSquare));
  EXPECT_NE(row_of(s.covariance, 0, kSquare), std::vector<float>(kSquare));
}

TEST_F(PatchClParts, PooledCovarianceIsTheMeanOfTheReadyClasses) {
  const std::vector<std::vector<float>> queues{{1, 0, 0, 1}, {0.6f, 0.8f, 0.8f, 0.6f}, {-1, 0}};
  std::vector<std::vector<float>> own, pooled, means;
  for (const char* on : {"false", "true"}) {
    OpenPatchCl& method = make_queued({{"pooled-covariance", on}, {"hard-negatives", "off"}});
    fill_queues(method, queues);
    Step step = step_at(0);
    const ClassStatistics s = method.statistics(step, keys_of(arena_, {1, 0}), {0});
    for (int64_t k = 0; k < kClasses; ++k)
      (on == std::string("true") ? pooled : own).push_back(row_of(s.covariance, k, kSquare));
    EXPECT_EQ(row_of(s.negative_covariance, 1, kSquare), row_of(s.covariance, 1, kSquare));
    means.push_back(row_of(s.mean, 1, kDimension));
  }
  EXPECT_EQ(means[0], means[1]) << "means stay";
  for (size_t i = 0; i < own[0].size(); ++i) {
    EXPECT_FLOAT_EQ(pooled[0][i], (own[0][i] + own[1][i]) / 2) << "class 2 is not ready";
    EXPECT_EQ(pooled[1][i], pooled[0][i]);
  }
  EXPECT_NE(pooled[0], own[0]);
}

// Hard negatives lie between the anchors of a class and another class: who the anchors are decides.
TEST_F(PatchClParts, HardNegativesAreCloseToTheAnchorsThatAreAskedFor) {
  const std::vector<float> student{1, 0, 0.8f, 0.6f}, teacher{0, 1, -0.6f, 0.8f};
  const std::vector<int32_t> classes{0, 0};
  const auto loss = [&](const char* anchors, const std::vector<float>& keys) {
    OpenPatchCl& method = make_queued({{"hard-negative-anchors", anchors}});
    fill_queues(method, {{1, 0, 0.8f, 0.6f, 0.6f, 0.8f}, {-1, 0, -0.6f, 0.8f, 0.28f, 0.96f}});
    Step step = step_at(0);
    const Var embeddings = tape_->constant(keys_of(arena_, student), "embeddings");
    return method.against_classes(step, embeddings, classes, keys_of(arena_, keys), classes).value().item();
  };
  EXPECT_EQ(loss("student", teacher), loss("teacher", student));
  EXPECT_NE(loss("student", teacher), loss("teacher", teacher));
}

// The positive of a region is the mean of its class's keys; where the teacher drew none there is no anchor.
TEST_F(PatchClParts, InfoNceOfRegionsLeavesOutClassesWithoutKeys) {
  OpenPatchCl& method = make_queued({{"embed", "region"}, {"contrast", "info-nce"}});
  fill_queues(method, {{1, 0, 0.8f, 0.6f}, {-1, 0, -0.6f, 0.8f}});
  const Tensor keys = keys_of(arena_, {1, 0, 0.8f, 0.6f});
  const auto loss = [&](const std::vector<float>& rows, const std::vector<int32_t>& classes) {
    Step step = step_at(5);
    const Var t = tape_->constant(keys_of(arena_, rows), "embeddings");
    return method.against_classes(step, t, classes, keys, {0, 0}).value().item();
  };
  EXPECT_GT(loss({0, 1}, {0}), 0);
  EXPECT_EQ(loss({0, 1, 1, 0}, {0, 1}), loss({0, 1}, {0}));
}

// One window in the whole batch is no batch for the head's norm: the step goes without the contrast.
TEST_F(PatchClParts, OneWindowIsNoContrast) {
  for (const char* embed : {"patch", "attention", "region"}) {
    OptionValues more;
    if (embed == std::string("attention")) more = {{"embed-level", "1"}};
    more.insert(more.end(),
        {{"embed", embed}, {"contrast", "prototype"}, {"patch-side", "32"}, {"parity", "threshold"},
            {"replacement", "false"}, {"labeled-windows", "true"}, {"area-filter", "off"}});
    OpenPatchCl& method = make(more);
    for (int64_t i = 0; i < kSide * kSide; ++i) batch_.labels().data<uint8_t>()[i] = 0;
    Step step = step_at(5);
    Passes passes;
    passes.target.probabilities = undecided();
    EXPECT_FALSE(method.contrast(step, passes)) << embed;
  }
}

// A batch norm makes of two numbers -1 and 1, so both rows lie on the diagonals of the plane.
TEST_F(PatchClParts, LastNormOfTheHeadComesBeforeTheLengthOfOne) {
  const Tensor patches = arena_.empty({2, kPatchSide, kPatchSide, 1}, DType::f32);
  for (int64_t i = 0; i < patches.numel(); ++i) patches.data<float>()[i] = float(i % 7) * float(i % 11) / 70;
  for (const bool on : {false, true}) {
    OpenPatchCl& method = make({{"head-norm", on ? "true" : "false"}});
    Step step = step_at(0);
    const Tensor rows = method.teacher_embeddings(step, patches, {});
    double away = 0;
    for (int64_t i = 0; i < rows.numel(); ++i)
      away = std::max(away, std::abs(std::abs(double(rows.data<float>()[i])) - std::sqrt(0.5)));
    EXPECT_EQ(away < 0.02, on) << away;
  }
}

TEST_F(PatchClParts, AFullWarmUpHasLabeledImagesAlone) {
  for (const bool full : {false, true}) {
    make({{"full-warm-up", full ? "true" : "false"}});
    const Phase& warm_up = learner_->phases()[0];
    EXPECT_EQ(warm_up.labeled, full ? kImages : kLabeled);
    EXPECT_EQ(warm_up.unlabeled, 0);
    EXPECT_EQ(learner_->phases()[1].labeled, kLabeled);
  }
}
