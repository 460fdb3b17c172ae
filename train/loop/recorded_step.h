// A training step on the GPU as one launch: its kernels are recorded once (tensor/cuda.h, Graph) and
// replayed.
//
// A step launches 200 kernels and more, most of a few microseconds; the host needs longer to launch them than
// an H100 to run them. Replaying works because nothing that the host decides changes from step to step:
// shapes are fixed, the arena has handed out its addresses, and random state, learning rate and batch are
// read from device memory that is written before.
#pragma once
#include <functional>
#include <memory>

#include "autograd/tape.h"
#include "tensor/cuda.h"
#include "train/methods/method.h"

namespace patchcl {

class RecordedStep {
 public:
  // From the batch to the new weights, kernel launches only (Graph says what that excludes). Returns the
  // loss.
  using Work = std::function<Var(Tape& tape, LossTerms& log)>;
  RecordedStep(const Arena& arena, Work work) : arena_(arena), work_(std::move(work)) {}

  // The first two times as it is, since libraries load and memory is taken on first use; then recorded; then
  // replayed.
  void run();
  const Var& loss() const { return loss_; }
  const LossTerms& log() const { return log_; }

 private:
  static constexpr int kPlainRuns = 2;
  void record_on_tape();
  Arena arena_;
  Work work_;
  int plain_runs_ = 0;
  std::unique_ptr<Tape> tape_;
  LossTerms log_;  // its Vars and the loss keep their memory: replays write to it
  Var loss_;
  std::unique_ptr<cuda::Graph> graph_;
};

}  // namespace patchcl
