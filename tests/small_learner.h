// A network of two levels on random images of 16x16, and its loss.
#pragma once
#include "train/setup/learner.h"

namespace patchcl::test {

inline LearnerOptions small() {
  LearnerOptions o;
  o.network = {.classes = 3, .widths = {4, 8}, .dropout = {0, 0}};
  o.run = {.iterations = 8, .batch = 4, .size = 16};
  o.run.rate = {.peak = 0.05, .length = 8};
  o.seed = 3;
  return o;
}

inline Batch random_batch(const Learner& learner, const Arena& memory) {
  Batch b;
  b.labeled = learner.phase().labeled;
  const int64_t n = b.labeled + learner.phase().unlabeled;
  b.ids.resize(size_t(n));
  const Tensor labels = memory.empty({n, 16, 16}, DType::u8);
  Rng rng(1);
  for (int64_t i = 0; i < labels.numel(); ++i)
    labels.data<uint8_t>()[i] = i < b.labeled * 256 ? uint8_t(rng.below(3)) : 255;
  for (size_t v = 0; v < learner.phase().views.size(); ++v) {
    const Tensor x = memory.empty({n, 16, 16, 1}, DType::f32);
    for (int64_t i = 0; i < x.numel(); ++i) x.data<float>()[i] = float(rng.uniform());
    b.views.push_back({x, labels});
  }
  return b;
}

inline double loss_of(Learner& learner, const Batch& batch) {
  Tape tape(learner.activations(), {.grad = false});
  LossTerms log;
  learner.begin_step();
  return learner.loss(tape, batch, log).value().item();
}

}  // namespace patchcl::test
