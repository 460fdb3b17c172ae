// Batches on their way to the GPU. Each is copied to page-locked memory, and from there by the copy engine
// while the step before it still runs; two slots take turns, so the host waits for the GPU only when it is
// two batches ahead.
#pragma once
#include <memory>

#include "data/stream/batch.h"
#include "tensor/arena.h"
#include "tensor/cuda.h"

namespace patchcl {

class Staging {
 public:
  // Device memory comes from `arena`.
  explicit Staging(const Arena& arena) : arena_(arena) {}
  // The batch in device memory, valid until the call after the next. All batches have the shapes of the
  // first.
  Batch operator()(const Batch& host);

 private:
  struct Slot {
    std::unique_ptr<cuda::Upload> upload;
    Tensor memory;  // u8: images and labels of all views, one after the other
  };
  Arena arena_;
  Slot slots_[2];
  int current_ = 0;
};

}  // namespace patchcl
