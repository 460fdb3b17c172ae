// The batches of a phase, as the configuration of a run asks for them: one rule for training and for audits.
#pragma once
#include "data/stream/loader.h"
#include "data/stream/sampler.h"
#include "train/setup/config.h"

namespace patchcl {

// The batches of a learner's run, one by one, also across phases.
class BatchStream {
 public:
  BatchStream(const Learner& learner, const TrainConfig& config, const Dataset& data)
      : learner_(learner), config_(config), data_(data) {}
  // Batch number `iteration`, which is the one behind the last asked for, or any at first. Valid until the
  // next call.
  Batch next(int64_t iteration);

 private:
  const Learner& learner_;
  const TrainConfig& config_;
  const Dataset& data_;
  std::unique_ptr<Loader> loader_;
  size_t phase_ = 0;
};

}  // namespace patchcl
