// Method: what one training step minimises. supervised, mean-teacher, ua-mt, fixmatch and patchcl are one
// class each; the loop (train/loop/trainer.h) owns data, optimiser, schedule, checkpoints and logs, and asks
// a Method for the loss.
#pragma once
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "data/stream/batch.h"
#include "data/picture.h"
#include "layers/unet.h"
#include "tensor/io.h"

namespace patchcl {

// Everything a step may look at. Lives as long as the run.
struct TrainState {
  const UNet* model = nullptr;
  ParamStore* student = nullptr;
  ParamStore* teacher = nullptr;  // null when the method has none
  const Arena* arena = nullptr;   // activations of this step
  Tensor rng;                     // i64 (2) on the device: seed, iteration
  uint64_t seed = 0;
  int64_t iteration = 0, iterations = 0;
};

// Named scalars of a step in the order in which they print: loss, ce, dice, consistency, contrastive, weight
// ... Values are read back from the device when the line is logged, not before.
struct LossTerms {
  std::vector<std::pair<std::string, Var>> terms;      // scalar Vars that the loss is made of
  std::vector<std::pair<std::string, Var>> readings;   // scalar Vars without gradient: weights, shares
  std::vector<std::pair<std::string, double>> values;  // host numbers: counts
};

using NamedPicture = std::pair<std::string, Canvas>;

class Method {
 public:
  virtual ~Method() = default;
  virtual std::string name() const = 0;
  virtual bool has_teacher() const { return false; }
  virtual bool wants_unlabeled() const { return false; }
  virtual bool wants_strong() const { return false; }  // Batch::strong
  // Further parameters (a projection head), declared before the stores are made.
  virtual void declare(ParamLayout&, const UNetConfig&) {}
  // Called once after the stores exist and whenever a run starts or resumes.
  virtual void start(const TrainState&) {}
  // Writes what the host decides anew at every step to the device; before each loss() that is not dry.
  virtual void prepare(const TrainState&) {}
  // Records one step on the tape and returns the total loss, shape (1). May run dry (memory plan).
  virtual Var loss(Tape& tape, const TrainState& s, const Batch& b, LossTerms& log) = 0;
  // loss() does none of its work on the host, and its kernels are the same at every iteration of a stage
  // (train/loop/recorded_step.h).
  virtual bool recordable() const { return false; }
  virtual int stage(const TrainState&) const { return 0; }
  // After the optimiser's step: EMA of the teacher, queues.
  virtual void after_step(const TrainState&) {}
  // What the method sees and draws on this batch, for people. Changes nothing.
  virtual std::vector<NamedPicture> pictures(
      const TrainState&, const Batch&, const std::vector<std::string>& /*class_names*/) {
    return {};
  }
  // State beyond the stores (queues, thresholds) for bit-exact resume.
  virtual void save(TensorFile&) const {}
  virtual void load(const TensorFile&) {}
};

}  // namespace patchcl
