// The learner and phases: what trains, from where a phase starts, which batches and rates it has, and that a
// run of several phases resumes to the same bits.
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>

#include "data/stream/loader.h"
#include "tests/command_line.h"
#include "train/loop/trainer.h"
#include "train/methods/step.h"

using namespace patchcl;
using namespace patchcl::test;
namespace fs = std::filesystem;

namespace {

// A method of three phases in one file: what a new method takes. Supervised learning on the first view, then
// on a second of its own geometry, then of the decoder alone.
class ThreePhases final : public Method {
 public:
  ThreePhases() { options().add("from-best", from_best_, "The second phase begins with the best weights"); }
  bool has_teacher() const override { return true; }
  std::vector<Phase> phases(const RunShape& run) const override {
    std::vector<Phase> all(3, whole_run(run, run.batch));
    all[0].name = "first";
    all[0].iterations = 4;
    all[0].rate = {.schedule = Schedule::constant, .peak = 0.1, .length = 4};
    all[1].name = "second";
    all[1].iterations = 3;
    all[1].labeled = run.batch - 1;
    all[1].views = {{}, {.look = Look::jittered, .own_geometry = true}};
    all[1].rate = {.schedule = Schedule::cosine, .peak = 0.2, .begin = 4, .length = 3, .warm_up = 2};
    all[1].start = from_best_ ? Phase::Start::best : Phase::Start::last;
    all[1].keep_optimizer = false;
    all[1].copy_to_teacher = true;
    all[2].name = "third";
    all[2].iterations = run.iterations - 7;
    all[2].trains = {"decoder."};
    return all;
  }
  Var loss(Tape& tape, const TrainState& s, const Batch& b, LossTerms& log) override {
    const Step step{tape, s, b, log};
    const View& seen = b.views.back();
    return step.supervised_loss(
        step.student(tape.constant(seen.images, "images")), tape.constant(seen.labels, "labels"));
  }

 private:
  bool from_best_ = false;
};
AddMethod three_phases{{1000, "three-phases", "for tests", make<ThreePhases>}};

LearnerOptions small() {
  LearnerOptions o;
  o.network = {.classes = 3, .widths = {4, 8}, .dropout = {0, 0}};
  o.run = {.iterations = 12, .batch = 3, .size = 16};
  o.run.rate = {.peak = 0.05, .length = 12};
  o.seed = 3;
  return o;
}

Batch batch_for(const Learner& learner, const Arena& memory) {
  const Phase& phase = learner.phase();
  Batch b;
  b.labeled = phase.labeled;
  Rng rng(1, uint64_t(learner.iteration()));
  for (const ViewKind& kind : phase.views) {
    const bool own = b.views.empty() || kind.own_geometry;
    View v{memory.empty({phase.labeled, 16, 16, 1}, DType::f32),
        own ? memory.empty({phase.labeled, 16, 16}, DType::u8) : b.labels()};
    for (int64_t i = 0; i < v.images.numel(); ++i) v.images.data<float>()[i] = float(rng.uniform());
    for (int64_t i = 0; own && i < v.labels.numel(); ++i) v.labels.data<uint8_t>()[i] = uint8_t(rng.below(3));
    b.views.push_back(v);
  }
  return b;
}

std::vector<float> numbers(const Tensor& t) { return {t.data<float>(), t.data<float>() + t.numel()}; }

// Steps up to iteration `end`, entering phases as the trainer does.
void step_to(Learner& learner, const Arena& memory, int64_t end) {
  while (learner.iteration() < end) {
    if (learner.phase_number() > 0 && learner.iteration() == learner.phase_begin()) learner.enter_phase();
    learner.step(batch_for(learner, memory));
  }
}

}  // namespace

TEST(Phases, FollowEachOtherWithTheirOwnRates) {
  Learner learner("three-phases", {}, small());
  const auto at = [&](int64_t iteration) {
    learner.go_to(iteration);
    return std::pair(learner.phase().name, learner.learning_rate());
  };
  EXPECT_EQ(at(0), std::pair(std::string("first"), 0.1));
  EXPECT_EQ(at(3), std::pair(std::string("first"), 0.1));
  EXPECT_EQ(at(4).first, "second");
  EXPECT_DOUBLE_EQ(at(4).second, 0.5 * 0.2);
  EXPECT_DOUBLE_EQ(at(6).second, 0.2 * (1 + std::cos(M_PI * 2 / 3)) / 2);
  EXPECT_EQ(at(7).first, "third");
  EXPECT_DOUBLE_EQ(at(7).second, poly_lr(0.05, 7, 12));
  EXPECT_EQ(at(12).first, "third");
}

TEST(Phases, TrainOnlyWhatTheyNameAndForgetTheOptimiserWhenAskedTo) {
  const Arena memory("test");
  Learner learner("three-phases", {}, small());
  step_to(learner, memory, 4);
  const Tensor momentum = learner.optimizer().state()[0].second;
  EXPECT_NE(numbers(momentum), std::vector<float>(size_t(momentum.numel())));
  EXPECT_NE(numbers(learner.student().values()), numbers(learner.teacher()->values()));
  learner.enter_phase();
  EXPECT_EQ(numbers(momentum), std::vector<float>(size_t(momentum.numel())));
  EXPECT_EQ(numbers(learner.student().values()), numbers(learner.teacher()->values()));
  step_to(learner, memory, 7);
  const std::vector<float> before = numbers(learner.student().values());
  step_to(learner, memory, 9);
  for (size_t i = 0; i < learner.layout().parameters().size(); ++i) {
    const ParamInfo& p = learner.layout().parameters()[i];
    const std::vector<float> now = numbers(learner.student().value(int(i))),
                             then(before.begin() + p.offset, before.begin() + p.offset + p.shape.numel());
    EXPECT_EQ(now != then, p.name.starts_with("decoder.")) << p.name;
  }
}

// The first step of Adam moves each weight by the rate, however large its gradient is; the fifth does not.
TEST(Phases, CountAdamsStepsAnewWhereTheyForgetTheOptimiser) {
  const Arena memory("test");
  LearnerOptions o = small();
  o.optimizer = {.kind = OptimizerKind::adam, .weight_decay = 0};
  Learner learner("three-phases", {}, o);
  step_to(learner, memory, 4);
  EXPECT_EQ(learner.optimizer().state()[0].first, "adam.m");
  learner.enter_phase();
  learner.begin_step();
  const double rate = learner.learning_rate();
  const std::vector<float> before = numbers(learner.student().values());
  learner.step(batch_for(learner, memory));
  const std::vector<float> after = numbers(learner.student().values()),
                           g = numbers(learner.student().grads());
  int moved = 0;
  for (size_t i = 0; i < g.size(); ++i) {
    if (std::abs(g[i]) < 1e-4f) continue;
    ++moved;
    EXPECT_NEAR(std::abs(double(after[i] - before[i])), rate, 1e-4) << i;
  }
  EXPECT_GT(moved, 100);
}

TEST(Phases, PlanTheMemoryOfTheLargest) {
  Learner learner("three-phases", {}, small());
  const size_t planned = learner.planned_bytes();
  const Arena memory("test");
  step_to(learner, memory, 12);
  EXPECT_GE(planned, learner.activations().stats().peak);
}

namespace {

TrainConfig config(const std::string& out, const std::string& from_best) {
  TrainConfig c;
  c.method = "three-phases";
  c.method_options = {{"from-best", from_best}};
  c.data = "phantom:cases=6,val=1,size=32,slices=3";
  c.labeled = "4";
  c.size = 32;
  c.batch = 3;
  c.iters = 12;
  c.network.widths = {4, 8};
  c.network.dropout = {0.1, 0.2};
  c.val_every = 2;
  c.log_every = 1;
  c.threads = 1;
  c.device = DeviceChoice::cpu;
  c.out = out;
  return c;
}

void expect_equal_files(const std::string& a, const std::string& b) {
  const Arena memory("test");
  const TensorFile x = load_tensors(a, memory), y = load_tensors(b, memory);
  ASSERT_EQ(x.tensors.size(), y.tensors.size());
  for (const auto& [name, t] : x.tensors)
    EXPECT_EQ(std::memcmp(t.raw(), y.tensors.at(name).raw(), t.bytes()), 0) << name;
}

}  // namespace

TEST(Phases, ResumeToTheSameBitsWhereverTheRunStopped) {
  for (const char* from_best : {"true", "false"}) {
    TemporaryFolder folder;
    Trainer whole(config(folder / "whole", from_best));
    EXPECT_EQ(whole.run(), patchcl::Outcome::finished);
    for (const int64_t stop : {2, 4, 5, 7, 10}) {
      const std::string run = folder / ("stopped-" + std::to_string(stop));
      Trainer(config(run, from_best)).run(stop);
      TrainConfig again = config(run, from_best);
      again.resume = run;
      EXPECT_EQ(Trainer(again).run(), patchcl::Outcome::finished);
      expect_equal_files(folder / "whole/last.safetensors", run + "/last.safetensors");
    }
    EXPECT_EQ(fs::exists(folder / "whole/best-first.safetensors"), std::string(from_best) == "true");
  }
}

TEST(Phases, ASecondPhaseMayStartFromTheBestWeights) {
  TemporaryFolder folder;
  Trainer best(config(folder / "best", "true")), last(config(folder / "last", "false"));
  best.run(4);
  last.run(4);
  expect_equal_files(folder / "best/last.safetensors", folder / "last/last.safetensors");
  ASSERT_EQ(best.progress().best_iteration, 2) << "else this test says nothing";
  best.run(5);
  last.run(5);
  EXPECT_NE(numbers(best.learner().student().values()), numbers(last.learner().student().values()));
}

TEST(Weights, StartARunAsFarAsNamesAndShapesAgree) {
  TemporaryFolder folder;
  Trainer(config(folder / "first", "false")).run();
  TrainConfig c = config(folder / "second", "false");
  c.weights = folder / "first/last.safetensors";
  Trainer same(c);
  const Arena memory("test");
  const TensorFile file = load_tensors(c.weights, memory);
  const std::string name = "encoder.in_conv.conv_conv.0.weight", bias = "encoder.in_conv.conv_conv.0.bias";
  EXPECT_EQ(same.learner().layout().parameters()[1].name, bias);
  EXPECT_EQ(numbers(same.learner().student().value(1)), numbers(file.tensors.at(bias)));
  EXPECT_EQ(numbers(same.learner().teacher()->value(1)), numbers(file.tensors.at(bias)));
  // Another number of levels: what fits is taken, what does not starts anew.
  UNetConfig wider{.classes = 4, .widths = {4, 16}, .dropout = {0, 0}};
  ParamLayout layout;
  const UNet unet(layout, wider);
  ParamStore store(layout, memory, DType::f32, /*with_grad=*/false);
  store.init(1);
  const std::vector<float> before = numbers(store.values());
  const PartialLoad load = get_weights_partially(file, store);
  EXPECT_TRUE(std::count(load.loaded.begin(), load.loaded.end(), name));
  EXPECT_TRUE(
      std::count(load.kept.begin(), load.kept.end(), "encoder.down1.maxpool_conv.1.conv_conv.0.weight"));
  for (size_t i = 0; i < layout.parameters().size(); ++i) {
    const ParamInfo& p = layout.parameters()[i];
    const bool kept = std::count(load.kept.begin(), load.kept.end(), p.name) > 0;
    const std::vector<float> then(before.begin() + p.offset, before.begin() + p.offset + p.shape.numel());
    if (kept) {
      EXPECT_EQ(numbers(store.value(int(i))), then) << p.name;
    }
  }
  c.out = folder / "third";
  c.weights = folder / "nothing.safetensors";
  EXPECT_THROW(Trainer{c}, Error);
}

TEST(Views, OfOwnGeometryMoveAloneAndSharedOnesDoNot) {
  const Dataset data = Dataset::open("phantom:cases=4,val=1,size=32,slices=3");
  const Sampler sampler(1, data.labeled_items(), 0, 4, 0);
  const auto load = [&](std::vector<ViewKind> views) {
    Loader loader(data, sampler, {.seed = 5, .augment = {.size = 32}, .views = std::move(views)});
    return transformed(loader.next(), [](const Tensor& t) {
      const Tensor kept = Arena("test").empty(t.shape(), t.dtype());
      copy(t, kept);
      return kept;
    });
  };
  const Batch one = load({{}});
  const Batch three = load({{}, kStrongView, {.own_geometry = true}});
  EXPECT_EQ(numbers(one.images()), numbers(three.images())) << "further views do not change the first";
  EXPECT_EQ(three.views[1].labels.raw(), three.views[0].labels.raw());
  EXPECT_NE(numbers(three.views[1].images), numbers(three.images()));
  EXPECT_NE(three.views[2].labels.raw(), three.views[0].labels.raw());
  EXPECT_NE(numbers(three.views[2].images), numbers(three.images()));
  const Batch again = load({{}, kStrongView, {.own_geometry = true}});
  for (size_t v = 0; v < 3; ++v)
    EXPECT_EQ(numbers(three.views[v].images), numbers(again.views[v].images)) << "view " << v;
}
