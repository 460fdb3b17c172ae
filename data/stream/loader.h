// Loader: background threads that prepare the batches to come.
//
// Batch i is a function of (dataset, seed, i): the same for any number of workers, and after a resume from
// any i.
#pragma once
#include <memory>

#include "data/stream/augment.h"
#include "data/stream/batch.h"
#include "data/stream/dataset.h"
#include "data/stream/sampler.h"

namespace patchcl {

struct LoaderOptions {
  uint64_t seed = 0;
  AugmentOptions augment;
  std::vector<ViewKind> views{{}};  // of each image
  int64_t ahead = 4;                // batches ready before they are asked for
  int workers = 1;
};

class Loader {
 public:
  // `dataset` must outlive the loader. Work starts at once, with batch number `first`.
  Loader(const Dataset& dataset, const Sampler& sampler, const LoaderOptions& options, int64_t first = 0);
  ~Loader();

  // The next batch, on the host. Its tensors are valid until the call after this one. An exception of a
  // worker (a damaged file) is rethrown here, at the batch that needed it.
  Batch next();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace patchcl
