// The memory of a training step: planned exactly by a dry run, and asked of the system once.
#include <gtest/gtest.h>

#include "autograd/ops/arith.h"
#include "autograd/ops/softmax.h"
#include "layers/unet.h"
#include "losses/cross_entropy.h"
#include "losses/dice.h"

using namespace patchcl;

namespace {

struct Model {
  ParamLayout layout;
  UNet unet;
  explicit Model(bool fused) : unet(layout, {.fused = fused}) {}
};

// Forward and backward of cross-entropy + Dice. All memory comes from `arena`, a plan or a real one.
void step(const Model& model, const ParamStore& store, const Arena& arena, int64_t batch, int64_t size) {
  const Tensor images = arena.zeros({batch, size, size, 1}, DType::f32),
               labels = arena.zeros({batch, size, size}, DType::u8);
  const Tensor rng = arena.zeros({2}, DType::i64);
  Tape tape(arena);
  Pass pass(tape, store, /*training=*/true, rng);
  const Var y = tape.constant(labels), logits = model.unet.forward(pass, tape.constant(images)).logits;
  tape.backward(add(cross_entropy(logits, y), dice_loss(softmax(logits), y)));
}

}  // namespace

TEST(StepMemory, AfterTheFirstStepNothingIsAskedOfTheSystem) {
  for (bool fused : {true, false}) {
    const Model model(fused);
    const Arena parameters("parameters"), arena("activations");
    ParamStore store(model.layout, parameters, DType::f32, /*with_grad=*/true);
    store.init(1);
    step(model, store, arena, 3, 64);
    const Arena::Stats first = arena.stats();
    for (int k = 0; k < 3; ++k) {
      step(model, store, arena, 3, 64);
      const Arena::Stats next = arena.stats();
      EXPECT_EQ(next.segments, first.segments);
      EXPECT_EQ(next.reserved, first.reserved);
      EXPECT_EQ(next.peak, first.peak);
      EXPECT_EQ(next.live, 0u) << "memory outlived the step";
    }
  }
}

TEST(StepMemory, TheDryPlanKnowsThePeak) {
  for (bool fused : {true, false}) {
    const Model model(fused);
    const auto measure = [&](const Arena& parameters, const Arena& arena) {
      ParamStore store(model.layout, parameters, DType::f32, /*with_grad=*/true);
      if (!arena.is_plan()) store.init(1);
      step(model, store, arena, 2, 96);
      return arena.stats();
    };
    const Arena::Stats plan = measure(Arena::plan("parameters"), Arena::plan("activations"));
    const Arena::Stats real = measure(Arena("parameters"), Arena("activations"));
    EXPECT_EQ(plan.peak, real.peak);
    EXPECT_EQ(plan.reserved, real.reserved);
    EXPECT_EQ(plan.segments, real.segments);
    EXPECT_EQ(plan.live, 0u);
  }
}

// The published batch, planned without touching a byte.
TEST(StepMemory, ThePublishedBatchFitsIntoThreeGibibytes) {
  const Model model(/*fused=*/true);
  const Arena parameters = Arena::plan("parameters"), arena = Arena::plan("activations");
  const ParamStore store(model.layout, parameters, DType::f32, /*with_grad=*/true);
  step(model, store, arena, 24, 256);
  const Arena::Stats stats = arena.stats();
  RecordProperty("peak_mib", int(stats.peak >> 20));
  RecordProperty("reserved_mib", int(stats.reserved >> 20));
  std::printf("batch 24, 256x256: peak %zu MiB, reserved %zu MiB in %zu segments\n", stats.peak >> 20,
      stats.reserved >> 20, stats.segments);
  EXPECT_LE(stats.peak, size_t(3) << 30);
}
