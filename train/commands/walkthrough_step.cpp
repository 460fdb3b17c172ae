#include "train/commands/walkthrough_step.h"

#include <algorithm>
#include <cmath>

#include "tensor/device.h"
#include "tensor/text.h"

namespace patchcl {

using namespace walkthrough;

namespace {

OptionValues small_options() {
  const auto text = [](double v) { return listed(std::vector<double>{v}); };
  return {{"warm-up", "0"}, {"ramp-up", "0.5"}, {"ema", text(kEma)}, {"teacher-norm", "running"},
      {"patch-side", std::to_string(kPatch)}, {"patch-stride", std::to_string(kStride)}, {"patches", "2"},
      {"queue-ready", "2"}, {"attended-patches", "false"}, {"hard-negatives", "off"},
      {"contrast-weight", text(kBeta)}, {"tau", text(kLoss.tau)}, {"lambda", text(kLoss.lambda)},
      {"psi", text(kLoss.psi)}};
}

LearnerOptions small_run() {
  LearnerOptions o;
  o.network = {.classes = int(kClasses), .widths = {4, 8}, .dropout = {0, 0}};
  o.run = {.iterations = kIterations, .batch = 2, .size = kSide};
  o.seed = 1;
  return o;
}

Batch two_images(const Arena& arena) {
  Batch b;
  b.views.resize(2);
  for (View& v : b.views) v.images = arena.empty({2, kSide, kSide, 1}, DType::f64);
  b.views[0].labels = b.views[1].labels = arena.empty({2, kSide, kSide}, DType::u8);
  b.labeled = 1;
  b.ids = {"labelled", "unlabelled"};
  Rng rng(1);
  for (int64_t i = 0; i < 2 * kSide * kSide; ++i) {
    const int64_t n = i / (kSide * kSide), y = i / kSide % kSide, x = i % kSide;
    const bool inside = n == 0 ? y >= 2 && y < 6 && x >= 2 && x < 6 : y >= 3 && y < 7 && x >= 1 && x < 5;
    const double value =
        std::round(100 * (inside ? 0.7 + 0.2 * rng.uniform() : 0.1 + 0.2 * rng.uniform())) / 100;
    b.images().data<double>()[i] = value;
    b.views[1].images.data<double>()[i] =
        std::min(1.0, 1.2 * value);  // a brighter view; real steps draw the factors
    b.labels().data<uint8_t>()[i] = n == 0 ? uint8_t(inside) : 255;
  }
  return b;
}

}  // namespace

std::unique_ptr<StepAudit> walkthrough_step() {
  set_kernels(Kernels::naive);  // the definitions: the same digits on every machine
  auto step = std::make_unique<StepAudit>("patchcl", small_options(), small_run());
  const Batch batch = two_images(Arena("walkthrough"));
  for (int64_t i = 0; i <= kIteration; ++i) {
    step->set(batch, i);
    if (i < kIteration) step->train(0.1);
  }
  return step;
}

}  // namespace patchcl
