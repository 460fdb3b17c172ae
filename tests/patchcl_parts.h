// PatchCL before one of its steps, opened for tests of its parts.
#pragma once
#include <gtest/gtest.h>

#include <algorithm>

#include "tensor/device.h"
#include "train/methods/patchcl.h"
#include "train/setup/learner.h"

namespace patchcl::test {

constexpr int64_t kClasses = 3, kImages = 4, kLabeled = 2, kSide = 32, kPatchSide = 16, kDimension = 2;

class OpenPatchCl : public PatchCl {
 public:
  using PatchCl::against_classes;
  using PatchCl::against_queue_and_absent;
  using PatchCl::contrast;
  using PatchCl::draw_patches;
  using PatchCl::enqueue;
  using PatchCl::intra_inter;
  using PatchCl::statistics;
  using PatchCl::teacher_embeddings;
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

// What a method has in its queues: for each class two embeddings, or none.
inline void fill_queues(PatchCl& method, const std::vector<std::vector<float>>& embeddings) {
  EmbeddingQueue queue(kClasses, kDimension, 8);
  for (size_t k = 0; k < embeddings.size(); ++k)
    for (size_t i = 0; i < embeddings[k].size(); i += kDimension)
      queue.push(int64_t(k), embeddings[k].data() + i);
  TensorFile file;
  queue.save(file);
  AreaFilter(AreaFilterMode::corrected, kClasses).save(file);
  method.load(file);
}

inline Tensor keys_of(const Arena& arena, const std::vector<float>& numbers) {
  const Tensor keys = arena.empty({int64_t(numbers.size()) / kDimension, kDimension}, DType::f32);
  std::copy(numbers.begin(), numbers.end(), keys.data<float>());
  return keys;
}

}  // namespace patchcl::test
