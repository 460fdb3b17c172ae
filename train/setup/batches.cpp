#include "train/setup/batches.h"

namespace patchcl {

Batch BatchStream::next(int64_t iteration) {
  const size_t number = learner_.phase_of(iteration);
  if (!loader_ || number != phase_) {
    const Phase& phase = learner_.phases()[phase_ = number];
    const Sampler sampler(config_.seed, data_.labeled_items(), data_.items() - data_.labeled_items(),
        phase.labeled, phase.unlabeled);
    const LoaderOptions options{.seed = config_.seed,
        .augment = {phase.augment.value_or(config_.augment), config_.size, config_.fit_of(data_),
            phase.size < config_.size ? phase.size : 0, config_.window_at, config_.bilinear_labels},
        .views = phase.views};
    loader_ = std::make_unique<Loader>(data_, sampler, options, iteration);
  }
  return loader_->next();
}

}  // namespace patchcl
