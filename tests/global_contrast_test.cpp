// Global contrast without negatives (METHODS 2.2): the loss of the method against its definition, from the
// parts that it is made of.
#include <gtest/gtest.h>

#include <set>

#include "autograd/ops/global_avg_pool.h"
#include "autograd/ops/shape.h"
#include "tensor/file.h"
#include "tests/command_line.h"
#include "tests/golden.h"
#include "train/methods/local_contrast.h"
#include "train/setup/learner.h"

using namespace patchcl;

namespace {

constexpr int64_t kImages = 3, kDimension = 6;

LearnerOptions small_run() {
  LearnerOptions o;
  o.network = {.classes = 2, .widths = {4, 8}, .dropout = {0, 0}};
  o.run = {.iterations = 4, .batch = kImages, .size = 16};
  o.dtype = DType::f64;
  return o;
}

Batch two_views(const Arena& arena) {
  Batch b;
  const Shape s{kImages, 16, 16, 1};
  const Tensor none = arena.zeros({kImages, 16, 16}, DType::u8);
  for (const char* name : {"first", "second"})
    b.views.push_back({golden::images(arena, s, DType::f64, name), none});
  return b;
}

// The parts, declared as the method declares them.
struct Parts {
  ParamLayout layout;
  UNet unet{layout, small_run().network};
  ContrastHead head{layout, "global_head", 8, 8, kDimension, /*relu=*/false};
  ViewPredictor predictor{layout, "predictor", kDimension};

  Var embed(Pass& pass, const Batch& b) const {
    Tape& t = pass.tape();
    const Var both = concat({t.constant(b.views[0].images), t.constant(b.views[1].images)}, 0);
    return head(pass, global_avg_pool(unet.encode(pass, both)));
  }
};

double dot(const double* a, const double* b) {
  double sum = 0;
  for (int64_t d = 0; d < kDimension; ++d) sum += a[d] * b[d];
  return sum;
}

}  // namespace

TEST(LocalContrast, APredictionOfTheOtherViewIsItsDefinition) {
  const Arena arena("test");
  const Batch batch = two_views(arena);
  const Parts parts;
  for (const char* form : {"byol", "simsiam"}) {
    Learner learner("local-contrast",
        {{"global-share", "1"}, {"local-share", "0"}, {"global-form", form}, {"embedding", "6"}},
        small_run());
    ParamStore& compared = learner.teacher() ? *learner.teacher() : learner.student();
    EXPECT_EQ(learner.teacher() != nullptr, form == std::string("byol"));
    if (learner.teacher())  // so that the average is not what it averages
      for (int64_t i = 0; i < compared.values().numel(); i += 3) compared.values().data<double>()[i] *= 1.5;
    Tape tape(arena, {.grad = false});
    Pass student(tape, learner.student(), /*training=*/true, {}, 0),
        other(tape, compared, /*training=*/true, {}, 0);
    student.set_norm(NormMode::batch_only);
    other.set_norm(NormMode::batch_only);
    const Var p = parts.predictor(student, parts.embed(student, batch)), z = parts.embed(other, batch);
    double mean = 0;
    for (int64_t i = 0; i < 2 * kImages; ++i) {
      const double* const pi = p.value().data<double>() + i * kDimension;
      const double* const zj = z.value().data<double>() + (i + kImages) % (2 * kImages) * kDimension;
      mean += (form == std::string("byol") ? 2 - 2 * dot(pi, zj) : -dot(pi, zj)) / (2 * kImages);
    }
    Tape recorded(arena, {.grad = false});
    LossTerms log;
    learner.begin_step();
    EXPECT_NEAR(learner.loss(recorded, batch, log).value().item(), mean, 1e-10) << form;
    EXPECT_GT(std::abs(mean), 1e-3);
  }
}

// BYOL's average moves in its phase and stays in the next ones; SimSiam and NT-Xent have none.
TEST(LocalContrast, TheAverageMovesWhileItIsComparedWith) {
  const Arena arena("test");
  LearnerOptions o = small_run();
  Learner learner(
      "local-contrast", {{"global-share", "0.5"}, {"local-share", "0"}, {"global-form", "byol"}}, o);
  Batch batch = two_views(arena);
  const auto value = [&] { return learner.teacher()->values().data<double>()[0]; };
  std::vector<double> seen{value()};
  for (int64_t i = 0; i < o.run.iterations; ++i) {
    batch.labeled = learner.phase().labeled;
    learner.step(batch);
    seen.push_back(value());
  }
  EXPECT_NE(seen[1], seen[0]);
  EXPECT_NE(seen[2], seen[1]);
  EXPECT_EQ(seen[3], seen[2]);
  EXPECT_EQ(seen[4], seen[3]);
}

// Of the phases that name some; the others see those of the run.
TEST(LocalContrast, APhaseHasRandomChangesOfItsOwn) {
  LocalContrast method;
  method.options().set("global-augment", "elastic");
  method.options().set("local-augment", "none");
  const std::vector<Phase> phases = method.phases({.iterations = 10, .batch = 2, .size = 16});
  ASSERT_EQ(phases.size(), 3u);
  EXPECT_EQ(phases[0].augment, Augmentation::elastic);
  EXPECT_EQ(phases[1].augment, Augmentation::none);
  EXPECT_EQ(phases[2].augment, std::nullopt);
}

TEST(LocalContrast, ThePhasesChangesAreWhatItTrainsOn) {
  test::TemporaryFolder folder;
  const auto metrics = [&](const std::string& name, const std::string& more) {
    const test::Outcome o = test::run_patchcl(
        "train --data phantom:cases=4,val=1,size=32,slices=3 --size 32 --batch 2 --iters 2 --val-every 0 "
        "--log-every 1 --widths 4,8 --dropout 0,0 --method local-contrast --local-share 0 --global-share 1 " +
        more + " --out " + (folder / name));
    EXPECT_EQ(o.code, 0) << o.output;
    return read_text(folder / (name + "/metrics.jsonl"));
  };
  const std::string run = metrics("run", "--augment flips");
  EXPECT_EQ(metrics("same", "--augment none --global-augment flips"), run);
  EXPECT_NE(metrics("other", "--augment flips --global-augment none"), run);
}

namespace {
LearnerOptions eight_steps() {
  LearnerOptions o = small_run();
  o.run.iterations = 8;
  o.run.rate = {.peak = 0.1, .length = 8};
  return o;
}
const OptionValues kThreeStages{{"global-share", "0.5"}, {"local-share", "0.25"}, {"global-lr", "0.2"},
    {"local-lr", "0.3"}, {"stride", "4"}};

// Names of the parameters that a step at this iteration moves.
std::set<std::string> moved_at(int64_t iteration, OptionValues options) {
  const Arena arena("test");
  Learner learner("local-contrast", options, eight_steps());
  learner.go_to(iteration);
  Batch b = two_views(arena);
  b.views.push_back({golden::images(arena, {kImages, 16, 16, 1}, DType::f64, "third"), b.labels()});
  b.labeled = learner.phase().labeled;
  for (int64_t i = 0; i < b.labels().numel(); ++i) b.labels().data<uint8_t>()[i] = uint8_t(i / 5 % 2);
  const Tensor& now = learner.student().values();
  const std::vector<double> before(now.data<double>(), now.data<double>() + now.numel());
  learner.step(b);
  std::set<std::string> moved;
  for (const ParamInfo& p : learner.layout().parameters())
    if (!std::equal(before.begin() + p.offset, before.begin() + p.offset + p.shape.numel(),
            now.data<double>() + p.offset))
      moved.insert(p.name.substr(0, p.name.find('.')));
  return moved;
}
}  // namespace

TEST(LocalContrast, EachStageHasItsRateFromItsBeginOn) {
  Learner learner("local-contrast", kThreeStages, eight_steps());
  const auto poly = [](double peak, double t, double length) { return peak * std::pow(1 - t / length, 0.9); };
  const std::vector<double> want{poly(0.2, 0, 4), poly(0.2, 1, 4), poly(0.2, 2, 4), poly(0.2, 3, 4),
      poly(0.3, 0, 2), poly(0.3, 1, 2), poly(0.1, 0, 2), poly(0.1, 1, 2)};
  for (size_t t = 0; t < want.size(); ++t) {
    learner.go_to(int64_t(t));
    EXPECT_NEAR(learner.learning_rate(), want[t], 1e-12) << t;
  }
  for (const Phase& p : learner.phases()) EXPECT_FALSE(p.keep_optimizer) << p.name;
}

// Half of seven steps and the other half are seven: no step is left over to a stage that nobody asked for.
TEST(LocalContrast, StagesThatAreTheWholeRunLeaveNoStepToFineTuning) {
  LearnerOptions o = eight_steps();
  o.run.iterations = 7;
  Learner learner("local-contrast", {{"global-share", "0.5"}, {"local-share", "0.5"}, {"stride", "4"}}, o);
  ASSERT_EQ(learner.phases().size(), 2u);
  EXPECT_EQ(learner.phases()[0].iterations, 3);
  EXPECT_EQ(learner.phases()[1].iterations, 4);
}

TEST(LocalContrast, EachStageTrainsItsPartOfTheNetworkAndItsHead) {
  using Names = std::set<std::string>;
  OptionValues random_head = kThreeStages;
  random_head.push_back({"global-head", "random"});
  EXPECT_EQ(moved_at(0, kThreeStages), (Names{"encoder", "global_head"}));
  EXPECT_EQ(moved_at(0, random_head), (Names{"encoder"}));
  EXPECT_EQ(moved_at(4, kThreeStages), (Names{"encoder", "decoder", "local_head"}));
  EXPECT_EQ(moved_at(6, kThreeStages), (Names{"encoder", "decoder"}));
}
