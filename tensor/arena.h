// Arena: the only place where tensor memory comes from.
//
// A best-fit allocator over a few large segments. Memory returns to the arena when the last Tensor on it
// goes, so a step that runs the same ops in the same order gets the same addresses each time, and after the
// first step (or after reserve()) asks the system for nothing. Invariants: free blocks are sorted by address
// and never adjacent within a segment; every block is a multiple of 256 bytes, which also aligns it.
// An arena made with Arena::plan() hands out addresses that nothing backs: a dry run over it tells the peak
// before a byte is touched. With PATCHCL_SEPARATE_TENSORS=1 in the environment each tensor is an allocation
// of its own, so that memory checkers (AddressSanitizer, compute-sanitizer) see where it ends. Not
// thread-safe: one arena per thread. An arena lives until its last tensor.
#pragma once
#include <map>
#include <memory>
#include <string>

#include "tensor/tensor.h"

namespace patchcl {

class Arena {
 public:
  // `name` appears in the memory plan and in out-of-memory errors.
  explicit Arena(std::string name, Device device = Device::cpu);
  static Arena plan(std::string name, Device device = Device::cpu);

  // Uninitialised memory. Throws Error(device) with the arena's name and what it already holds.
  Tensor empty(const Shape& shape, DType dtype) const;
  Tensor zeros(const Shape& shape, DType dtype) const;

  // Makes sure that `bytes` more can be handed out as one segment.
  void reserve(size_t bytes) const;

  struct Stats {
    size_t live = 0;      // bytes in use now
    size_t peak = 0;      // most bytes in use at once
    size_t reserved = 0;  // bytes asked of the system
    size_t segments = 0;  // how often the system was asked: constant after the first step
  };
  Stats stats() const;
  Device device() const;
  const std::string& name() const;
  bool is_plan() const;

 private:
  struct Impl;
  explicit Arena(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<Impl> impl_;
};

}  // namespace patchcl
