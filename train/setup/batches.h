// The batches of a run, as its configuration asks for them: one rule for training and for audits of a run.
#pragma once
#include "data/stream/loader.h"
#include "data/stream/sampler.h"
#include "train/setup/config.h"

namespace patchcl {

// Half of a semi-supervised batch is labelled unless --labeled-batch says otherwise. Throws Error(usage) when
// one kind is missing.
Sampler training_sampler(const TrainConfig& config, bool wants_unlabeled, const Dataset& data);
LoaderOptions loader_options(const TrainConfig& config, bool wants_strong, const Dataset& data);

}  // namespace patchcl
