// Trainer: the loop around a Method. Owns the network, the optimiser, the data stream, the run folder and its
// logs.
//
// One step:  batch -> tape -> method->loss -> backward -> optimiser -> method->after_step
// Run folder: config.toml (resolved), metrics.jsonl and metrics.csv (numbers only, so that equal runs have
// equal files), last.safetensors and last.1.safetensors (checkpoints), best.safetensors (weights of the best
// validation), overlays/*.png, pictures/*.png (what the method sees), results.md and results.json.
#pragma once
#include <memory>
#include <string>

#include "data/stream/dataset.h"
#include "train/setup/checkpoint.h"
#include "train/setup/config.h"
#include "train/evaluate/inference.h"
#include "train/methods/method.h"
#include "train/loop/recorded_step.h"
#include "train/loop/staging.h"

namespace patchcl {

enum class Outcome { finished, interrupted };

class Trainer {
 public:
  // Opens the data, builds the network, prints the memory plan, resumes when asked. `resolved` is the
  // configuration as text: it goes into the run folder and into checkpoints.
  Trainer(const TrainConfig& config, const std::string& resolved);
  ~Trainer();
  Trainer(const Trainer&) = delete;

  // Trains up to `until` steps in all (default: to the end), then validates and writes a checkpoint.
  // SIGINT or SIGTERM stop it after the current step, with a checkpoint.
  Outcome run(int64_t until = -1);

  const ParamStore& student() const { return *student_; }
  const Optimizer& optimizer() const { return *optimizer_; }
  const Progress& progress() const { return progress_; }
  const Summary& validation() const { return validation_; }  // of the last one that ran

 private:
  struct Log;
  void plan_memory();
  TrainState state();
  Batch to_device(const Batch& host);
  Batch batch_shape(const Arena& arena) const;
  double set_step();  // returns the learning rate
  void step(const Batch& batch, bool log);
  void step_recorded(const Batch& batch, bool log);
  void log_step(double lr, const Var& loss, const LossTerms& log);
  [[noreturn]] void explain_non_finite(const Batch& batch);
  void validate_now();
  void audit(const Batch& batch);
  void draw_pictures(const Batch& batch);
  void checkpoint();
  void write_results() const;

  TrainConfig config_;
  std::string resolved_;
  Device device_;
  DType dtype_;
  Dataset dataset_;
  std::unique_ptr<Method> method_;
  ModelInfo info_;
  ParamLayout layout_;
  std::unique_ptr<UNet> unet_;
  Arena parameters_, activations_;
  Staging staging_;
  std::unique_ptr<ParamStore> student_, teacher_;
  std::unique_ptr<Optimizer> optimizer_;
  Tensor rng_;
  Progress progress_;
  Summary validation_;
  std::string terms_text_;
  std::unique_ptr<Log> log_;
  Batch recorded_batch_;
  int recorded_stage_ = 0;
  std::unique_ptr<RecordedStep> recorded_;  // --graph true
};

}  // namespace patchcl
