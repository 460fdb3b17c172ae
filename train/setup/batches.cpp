#include "train/setup/batches.h"

#include "tensor/error.h"

namespace patchcl {

Sampler training_sampler(const TrainConfig& c, bool wants_unlabeled, const Dataset& data) {
  const int64_t labeled = !wants_unlabeled ? c.batch : c.labeled_batch ? c.labeled_batch : c.batch / 2;
  if (wants_unlabeled && (labeled < 1 || labeled >= c.batch))
    fail(ExitCode::usage, "train", "a batch of ", c.batch, " with ", labeled, " labelled images; ", c.method,
        " wants both kinds: raise --batch or mend --labeled-batch");
  return Sampler(
      c.seed, data.labeled_items(), data.items() - data.labeled_items(), labeled, c.batch - labeled);
}

LoaderOptions loader_options(const TrainConfig& c, bool wants_strong, const Dataset& data) {
  LoaderOptions o;
  o.seed = c.seed;
  o.augment = {parse_augmentation(c.augment), c.size, data.fit(c.size)};
  o.strong = wants_strong;
  return o;
}

}  // namespace patchcl
