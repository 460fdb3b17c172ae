// The teacher's statistics, mixed views, and bcp's change of phase.
#include <gtest/gtest.h>

#include <cstring>
#include <set>

#include "tensor/device.h"
#include "tests/command_line.h"
#include "tests/small_learner.h"
#include "train/loop/trainer.h"
#include "train/methods/mixing.h"
#include "train/setup/checkpoint.h"
#include "train/setup/learner.h"

using namespace patchcl;
using namespace patchcl::test;

namespace {

// The loss with a teacher whose running statistics are its own, and with foreign ones; whether they moved.
struct WithForeignStatistics {
  double before, after;
  bool moved;
};
WithForeignStatistics foreign_statistics(const std::string& norm) {
  const Arena memory("test");
  Learner learner("base", {{"teacher-norm", norm}, {"consistency", "mse"}, {"mix", "none"}}, small());
  learner.go_to(4);
  const Batch batch = random_batch(learner, memory);
  const double before = loss_of(learner, batch);
  const Tensor& statistics = learner.teacher()->buffers();
  float* s = statistics.data<float>();
  for (int64_t i = 0; i < statistics.numel(); ++i) s[i] = s[i] * float(1 + i % 7) + float(i % 5);
  const Tensor kept = memory.empty(statistics.shape(), DType::f32);
  copy(statistics, kept);
  const double after = loss_of(learner, batch);
  return {before, after, std::memcmp(kept.raw(), statistics.raw(), kept.bytes()) != 0};
}

}  // namespace

TEST(Teacher, RunningStatisticsDecideItsLabelsOnlyWhereTheyAreAskedFor) {
  const WithForeignStatistics running = foreign_statistics("running"), batch = foreign_statistics("batch"),
                              moving = foreign_statistics("moving");
  EXPECT_NE(running.before, running.after);
  EXPECT_EQ(batch.before, batch.after);
  EXPECT_EQ(moving.before, moving.after);
  EXPECT_FALSE(running.moved);
  EXPECT_FALSE(batch.moved);
  EXPECT_TRUE(moving.moved);
}

TEST(Teacher, EachMethodHasItsPapersMode) {
  const auto mode = [](const std::string& method, const OptionValues& more = {}) {
    Learner learner(method, more, small());
    std::string text;
    for (const auto& [name, value] : learner.method().options().values())
      if (name == "teacher-norm" || name == "teacher-dropout") text += value + " ";
    return text;
  };
  EXPECT_EQ(mode("mean-teacher"), "moving true ");
  EXPECT_EQ(mode("ua-mt"), "moving true ");
  EXPECT_EQ(mode("bcp"), "moving true ");
  EXPECT_EQ(mode("base"), "batch false ");
  EXPECT_EQ(mode("patchcl"), "batch false ");
  EXPECT_EQ(mode("mean-teacher", {{"copy-paste", "true"}}), "batch false ");
  EXPECT_EQ(mode("base", {{"teacher-norm", "running"}}), "running false ");
  EXPECT_EQ(mode("ad-mt"), "auto auto ");  // the active one as in training, the other as in evaluation
}

TEST(Teacher, BeginsAtTheWarmUpsEndWhereItIsAsked) {
  const Arena memory("test");
  for (const bool asked : {false, true}) {
    Learner learner(
        "base", {{"warm-up", "0.5"}, {"teacher-from-warm-up", asked ? "true" : "false"}}, small());
    for (int i = 0; i < 4; ++i) learner.step(random_batch(learner, memory));
    const Tensor &s = learner.student().values(), &t = learner.teacher()->values();
    EXPECT_NE(std::memcmp(s.raw(), t.raw(), s.bytes()), 0);
    learner.enter_phase();
    EXPECT_EQ(std::memcmp(s.raw(), t.raw(), s.bytes()) == 0, asked);
  }
}

TEST(Base, ShowsTheStudentTheViewThatIsAskedFor) {
  const auto view = [](const char* strong) {
    return Learner("base", {{"strong", strong}}, small()).phase().views.back();
  };
  EXPECT_EQ(view("false").look, Look::plain);
  EXPECT_EQ(view("true").look, Look::jittered);
  EXPECT_EQ(view("true").blur, 0);
  EXPECT_EQ(view("blurred").look, Look::blurred);
  EXPECT_EQ(view("blurred").blur, 0.2);
}

TEST(Base, IsPatchClWithoutContrast) {
  const Arena memory("test");
  Learner base("base", {{"confidence", "0.4"}}, small());
  Learner patchcl("patchcl",
      {{"contrast", "off"}, {"warm-up", "0"}, {"ramp-up", "0.25"}, {"consistency-weight", "2"},
          {"consistency", "dice"}, {"confidence", "0.4"}, {"mix", "both"}},
      small());
  for (int i = 0; i < 4; ++i) {
    const Batch batch = random_batch(base, memory);
    EXPECT_EQ(base.step(batch), patchcl.step(batch)) << i;
  }
}

TEST(Mixing, CutMixBoxesLieInTheImageAndHaveOneSizeBeforeTheyAreCut) {
  double mean_share = 0;
  for (uint64_t seed = 0; seed < 500; ++seed) {
    Rng rng(seed);
    int64_t largest = 0;
    for (const Box& b : cut_mix_boxes(6, 64, 64, rng)) {
      EXPECT_TRUE(b.top >= 0 && b.left >= 0 && b.height >= 0 && b.width >= 0);
      EXPECT_TRUE(b.top + b.height <= 64 && b.left + b.width <= 64);
      largest = std::max({largest, b.height, b.width});
    }
    mean_share += double(largest * largest) / (64 * 64) / 500;
  }
  EXPECT_NEAR(mean_share, 0.5, 0.05);  // E[1 - lambda] of Beta(4,4), of boxes that are hardly cut
}

TEST(Mixing, PermutationsHoldEachImageOnceAndDiffer) {
  std::set<std::vector<int64_t>> seen;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    Rng rng(seed);
    std::vector<int64_t> order = shuffled(4, rng);
    seen.insert(order);
    std::sort(order.begin(), order.end());
    EXPECT_EQ(order, (std::vector<int64_t>{0, 1, 2, 3}));
  }
  EXPECT_EQ(seen.size(), 24u);
}

TEST(Mixing, ASquareIsThatOfTheLabelledImagesInTurn) {
  const auto flat = [](int64_t n, float x) {
    const LabeledImages l = labeled_images(n, 6, 6, 1);
    for (int64_t i = 0; i < n; ++i) fill(l.images.rows(i, 1), x + float(i));
    fill(l.labels, x);
    fill(l.weight, x / 100);
    return l;
  };
  const LabeledImages to = labeled_images(3, 6, 6, 1);
  paste_square(flat(3, 10), flat(2, 50), {1, 2, 3, 3}, to);
  const float inside[] = {50, 51, 50}, outside[] = {10, 11, 12};
  for (int64_t i = 0; i < 3; ++i) {
    EXPECT_EQ(to.images.item(i * 36 + 1 * 6 + 2), inside[i]);
    EXPECT_EQ(to.images.item(i * 36 + 4 * 6 + 2), outside[i]);
    EXPECT_EQ(to.labels.item(i * 36 + 3 * 6 + 4), 50);
    EXPECT_EQ(to.weight.item(i * 36 + 3 * 6 + 5), 0.1f);
  }
}

TEST(Mixing, WantsPseudoLabels) {
  const test::Outcome o = test::run_patchcl(
      "train --method patchcl --mix cutmix --data phantom:cases=4,size=32 --labeled 2 --size 32 --out x");
  EXPECT_EQ(o.code, 2);
  EXPECT_TRUE(test::contains(o.output, "--consistency dice")) << o.output;
}

namespace {

TrainConfig bcp_config(const std::string& out) {
  TrainConfig c;
  c.method = "bcp";
  c.data = "phantom:cases=6,val=1,size=32,slices=3";
  c.labeled = "3";
  c.size = 32;
  c.batch = 4;
  c.iters = 24;
  c.method_options = {{"pre-training", "0.5"}};
  c.network.widths = {4, 8};
  c.network.dropout = {0.1, 0.2};
  c.val_every = 2;
  c.log_every = 1;
  c.threads = 1;
  c.device = DeviceChoice::cpu;
  c.out = out;
  return c;
}

std::vector<float> momentum_after_the_first_step_of_self_training(const std::string& folder) {
  TrainConfig c = bcp_config(folder);
  c.resume = folder;
  Trainer trainer(c);
  trainer.run(13);
  const Tensor m = trainer.learner().optimizer().state()[0].second;
  return {m.data<float>(), m.data<float>() + m.numel()};
}

}  // namespace

TEST(Bcp, SelfTrainingGoesOnWithTheOptimiserOfTheBestWeights) {
  TemporaryFolder folder;
  const std::string run = folder / "run", other = folder / "other";
  Trainer(bcp_config(run)).run(12);
  std::filesystem::copy(run, other, std::filesystem::copy_options::recursive);
  // In the other folder the best weights have an optimiser that stands still.
  const Arena memory("test");
  TensorFile best = load_tensors(other + "/best.safetensors", memory);
  std::vector<float> kept;
  for (auto& [name, t] : best.tensors)
    if (name.starts_with("optimizer.")) {
      kept.assign(t.data<float>(), t.data<float>() + t.numel());
      fill(t, 0);
    }
  ASSERT_FALSE(kept.empty());
  std::filesystem::remove(other + "/best.safetensors");
  save_tensors(other + "/best.safetensors", best);
  const std::vector<float> moving = momentum_after_the_first_step_of_self_training(run),
                           standing = momentum_after_the_first_step_of_self_training(other);
  ASSERT_EQ(moving.size(), kept.size());
  double most = 0;
  for (size_t i = 0; i < kept.size(); ++i) {
    EXPECT_NEAR(moving[i] - standing[i], 0.9 * kept[i], 1e-5);
    most = std::max(most, std::abs(double(kept[i])));
  }
  EXPECT_GT(most, 1e-2);
}

TEST(Bcp, TheTeacherBeginsAsTheStudentOfTheBestWeights) {
  const Arena memory("test");
  Learner learner("bcp", {{"pre-training", "0.5"}}, small());
  learner.go_to(0);
  const Tensor& teacher = learner.teacher()->values();
  const std::vector<float> at_first(teacher.data<float>(), teacher.data<float>() + teacher.numel());
  for (int i = 0; i < 4; ++i) learner.step(random_batch(learner, memory));
  EXPECT_EQ(std::memcmp(teacher.raw(), at_first.data(), teacher.bytes()), 0) << "it waits in pre-training";
  const auto differ = [&] {
    const Tensor &s = learner.student().values(), &t = learner.teacher()->values();
    return std::memcmp(s.raw(), t.raw(), s.bytes()) != 0;
  };
  EXPECT_TRUE(differ());  // it has not followed so far
  learner.enter_phase();
  EXPECT_FALSE(differ());
  learner.step(random_batch(learner, memory));
  EXPECT_TRUE(differ());
}

TEST(Bcp, WantsHalvesOfBothKinds) {
  for (const char* batch : {"6", "2"}) {
    const test::Outcome o = test::run_patchcl(std::string("train --method bcp --data phantom:cases=6,size=32 "
                                                          "--labeled 2 --size 32 --out x --batch ") +
                                              batch);
    EXPECT_EQ(o.code, 2) << o.output;
    EXPECT_TRUE(test::contains(o.output, "multiple of 4")) << o.output;
  }
}
