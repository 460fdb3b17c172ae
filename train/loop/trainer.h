// Trainer: the loop around a learner. Owns the data, the run folder (train/setup/run_folder.h) and its logs.
//
// One step:  batch -> begin_step -> backward -> update -> end_step (train/setup/learner.h)
#pragma once
#include <memory>
#include <string>

#include "data/stream/dataset.h"
#include "train/evaluate/inference.h"
#include "train/loop/recorded_step.h"
#include "train/loop/run_lock.h"
#include "train/loop/run_log.h"
#include "train/loop/staging.h"
#include "train/setup/checkpoint.h"
#include "train/setup/config.h"
#include "train/setup/run_folder.h"
#include "train/setup/run_record.h"

namespace patchcl {

enum class Outcome { finished, interrupted };

class BatchStream;
class ProgressLine;
class StopSignals;

class Trainer {
 public:
  // Opens the data, builds the learner, prints the memory plan, resumes when asked.
  explicit Trainer(TrainConfig config);
  ~Trainer();
  Trainer(const Trainer&) = delete;

  // Trains up to `until` steps in all (default: to the end), then validates and writes a checkpoint. SIGINT,
  // SIGTERM or SIGHUP stop it after the current step, with a checkpoint.
  Outcome run(int64_t until = -1);

  Learner& learner() { return *learner_; }
  const Progress& progress() const { return progress_; }
  const Summary& validation() const { return validation_; }  // of the last one that ran

 private:
  // The path of that file of the run folder.
  std::string path_of(const std::string& name) const { return in_run(config_.out, name); }
  void begin_phase(ProgressLine& line);
  Outcome run_phase(int64_t until, BatchStream& batches, const StopSignals& signals, ProgressLine& line);
  void after_step(const Batch& batch, ProgressLine& line);
  Batch to_device(const Batch& host);
  void step(const Batch& batch, bool log);
  void step_recorded(const Batch& batch, bool log);
  void log_step(const Var& loss, const LossTerms& log);
  Var backward(Tape& tape, const Batch& batch, LossTerms& log);
  std::string context_of(const Batch& batch) const;
  [[noreturn]] void explain_non_finite(const Batch& batch);
  void open_folder();
  Outcome finished_already();
  void score();
  void validate_now();
  bool later_phase_goes_on() const;
  void audit(const Batch& batch);
  void draw_pictures(const Batch& batch);
  void checkpoint();
  void write_results() const;

  TrainConfig config_;
  Dataset dataset_;
  std::unique_ptr<RunLock> lock_;
  std::unique_ptr<Learner> learner_;
  std::string resolved_;  // config.toml
  ModelInfo info_;
  Staging staging_;
  Progress progress_;
  Summary validation_;
  int64_t saved_ = -1;         // the iteration of the last checkpoint
  bool last_is_whole_ = true;  // the file of it: read or written here, or none
  std::string terms_text_;
  StepCost cost_;
  std::unique_ptr<RunLog> log_;
  Batch recorded_batch_;
  size_t recorded_phase_ = 0;
  std::unique_ptr<RecordedStep> recorded_;  // --graph true
};

}  // namespace patchcl
