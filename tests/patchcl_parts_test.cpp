// The parts of PatchCL's contrastive term, each on inputs whose answer is plain to see: the patches that it
// draws, and the moments that stand in where no hard negative is found.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tensor/device.h"
#include "train/methods/patchcl.h"
#include "train/setup/learner.h"

using namespace patchcl;

namespace {

constexpr int64_t kClasses = 3, kImages = 4, kLabeled = 2, kSide = 32, kPatchSide = 16, kDimension = 2;

class OpenPatchCl : public PatchCl {
 public:
  using PatchCl::against_classes;
  using PatchCl::contrast;
  using PatchCl::draw_patches;
  using PatchCl::intra_inter;
  using PatchCl::statistics;
  Tensor known;  // stands for what the teacher makes of windows without a class

  Tensor teacher_embeddings(Step& step, const Tensor& patches, const Tensor& attention) const override {
    return known ? known : PatchCl::teacher_embeddings(step, patches, attention);
  }
};

// A PatchCL of eight steps, the first four of them warm-up, before one of its steps.
class PatchClParts : public testing::Test {
 protected:
  OpenPatchCl& make(const OptionValues& options) {
    auto owned = std::make_unique<OpenPatchCl>();
    OpenPatchCl& method = *owned;
    method.options().set({{"warm-up", "0.5"}, {"embedding", "2"}, {"patch-side", "16"}});
    method.options().set(options);
    LearnerOptions o;
    o.network = {.classes = int(kClasses), .widths = {4, 8}, .dropout = {0, 0}};
    o.run = {.iterations = 8, .batch = kImages, .size = kSide};
    learner_ = std::make_unique<Learner>(std::move(owned), o);
    return method;
  }
  // With queues of eight, of which two embeddings tell something: fill_queues.
  OpenPatchCl& make_queued(OptionValues options) {
    options.insert(options.end(), {{"queue", "8"}, {"queue-ready", "2"}});
    return make(options);
  }
  Step step_at(int64_t iteration) {
    learner_->go_to(iteration);
    learner_->begin_step();
    tape_ = std::make_unique<Tape>(arena_, TapeOptions{.grad = false});
    return {*tape_, learner_->state(), batch_, log_};
  }
  // Labels in columns of one pixel, so that every window shows a third of each class; a pixel of class k is
  // shade(k).
  static float shade(int64_t k) { return 0.2f + 0.2f * float(k); }
  static Batch striped(const Arena& arena) {
    Batch b;
    b.labeled = kLabeled;
    b.views = {{arena.empty({kImages, kSide, kSide, 1}, DType::f32),
        arena.empty({kImages, kSide, kSide}, DType::u8)}};
    for (int64_t i = 0; i < kImages * kSide * kSide; ++i) {
      b.labels().data<uint8_t>()[i] = uint8_t(i % kSide % kClasses);
      b.images().data<float>()[i] = shade(i % kSide % kClasses);
    }
    return b;
  }
  // p = 1/K everywhere on the unlabelled images.
  Tensor undecided() const {
    const Tensor p = arena_.empty({kImages - kLabeled, kSide, kSide, kClasses}, DType::f32);
    fill(p, 1. / kClasses);
    return p;
  }

  Arena arena_{"test"};
  Batch batch_ = striped(arena_);
  LossTerms log_;
  std::unique_ptr<Learner> learner_;
  std::unique_ptr<Tape> tape_;
};

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
// What a method has in its queues: for each class two embeddings, or none.
void fill_queues(PatchCl& method, const std::vector<std::vector<float>>& embeddings) {
  EmbeddingQueue queue(kClasses, kDimension, 8);
  for (size_t k = 0; k < embeddings.size(); ++k)
    for (size_t i = 0; i < embeddings[k].size(); i += kDimension)
      queue.push(int64_t(k), embeddings[k].data() + i);
  TensorFile file;
  queue.save(file);
  AreaFilter(AreaFilterMode::corrected, kClasses).save(file);
  method.load(file);
}

Tensor keys_of(const Arena& arena, const std::vector<float>& numbers) {
  const Tensor keys = arena.empty({int64_t(numbers.size()) / kDimension, kDimension}, DType::f32);
  std::copy(numbers.begin(), numbers.end(), keys.data<float>());
  return keys;
}

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

namespace {
using Vectors = std::vector<std::vector<double>>;

Tensor rows_of(const Arena& arena, const Vectors& v) {
  const Tensor t = arena.empty({int64_t(v.size()), kDimension}, DType::f32);
  for (size_t i = 0; i < v.size(); ++i)
    for (size_t d = 0; d < size_t(kDimension); ++d)
      t.data<float>()[i * size_t(kDimension) + d] = float(v[i][d]);
  return t;
}

// log sum_q e^{<a,q>/tau} - mean_p <a,p>/tau, from the definition; 0 without a negative.
double pulled_and_pushed(
    const std::vector<double>& a, const Vectors& positive, const Vectors& negative, double tau) {
  const auto similarity = [&](const std::vector<double>& q) { return (a[0] * q[0] + a[1] * q[1]) / tau; };
  double sum = 0, mean = 0;
  for (const auto& q : negative) sum += std::exp(similarity(q));
  for (const auto& p : positive) mean += similarity(p) / double(positive.size());
  return sum > 0 ? std::log(sum) - mean : 0;
}
}  // namespace

using IntraInter = PatchClParts;

TEST_F(IntraInter, IsItsDefinitionOnKnownEmbeddings) {
  OpenPatchCl& method = make({{"contrast", "intra-inter"}, {"tau", "0.7"}});
  Step step = step_at(5);
  const std::vector<int32_t> classes{0, 0, 1, 2, 2}, classes_without{1, 0, 2, 0};
  const Vectors anchors{{1, 0}, {0.6, 0.8}, {0, 1}, {-1, 0}, {-0.8, 0.6}},
      keys{{0.8, 0.6}, {1, 0}, {0.6, -0.8}, {0, -1}, {-0.6, 0.8}},
      without{{0.3, 0.2}, {-0.5, 0.1}, {0.9, 0.1}, {0, 0.4}};
  method.known = rows_of(arena_, without);
  Patches patches;
  patches.classes = classes;
  patches.classes_without = classes_without;
  patches.without = method.known;
  double want = 0;
  for (int32_t k = 0; k < int32_t(kClasses); ++k) {
    Vectors own, absent, others;
    for (size_t i = 0; i < keys.size(); ++i) (classes[i] == k ? own : others).push_back(keys[i]);
    for (size_t i = 0; i < without.size(); ++i)
      if (classes_without[i] == k) absent.push_back(without[i]);
    for (size_t i = 0; i < anchors.size(); ++i) {
      if (classes[i] != k) continue;
      want += (pulled_and_pushed(anchors[i], own, absent, 0.7) +
                  pulled_and_pushed(anchors[i], own, others, 0.7)) /
              double(own.size());
    }
  }
  const Var got = method.intra_inter(
      step, tape_->constant(rows_of(arena_, anchors), "anchors"), patches, rows_of(arena_, keys));
  EXPECT_NEAR(double(got.value().data<float>()[0]), want / double(kClasses), 1e-5);
}

// Class 0 on the left, 1 on the right, in black and white columns: image times confidence is black, but for
// the noise of a view, exactly where a window does not show its class.
TEST_F(IntraInter, DrawsWindowsThatDoNotShowTheClass) {
  OpenPatchCl& method = make({{"contrast", "intra-inter"}, {"patch-stride", "16"}, {"parity", "threshold"},
      {"labeled-windows", "true"}});
  for (int64_t i = 0; i < kImages * kSide * kSide; ++i) {
    batch_.labels().data<uint8_t>()[i] = uint8_t(i % kSide >= kSide / 2);
    batch_.images().data<float>()[i] = float(i % 2);
  }
  const Patches p = method.draw_patches(step_at(5), undecided());
  ASSERT_FALSE(p.classes_without.empty());
  const int64_t pixels = kPatchSide * kPatchSide;
  ASSERT_EQ(p.without.numel(), int64_t(p.classes_without.size()) * pixels);
  for (size_t i = 0; i < p.classes_without.size(); ++i) {
    const float* x = p.without.data<float>() + int64_t(i) * pixels;
    double mean = 0, variance = 0;
    for (int64_t m = 0; m < pixels; ++m) mean += double(x[m]) / double(pixels);
    for (int64_t m = 0; m < pixels; ++m) variance += std::pow(double(x[m]) - mean, 2) / double(pixels);
    EXPECT_LT(variance, 0.01) << i;
  }
}
