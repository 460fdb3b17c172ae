// The logs of a run, metrics.jsonl, metrics.csv and audit.jsonl: numbers only, so that equal runs have equal
// files. On resume they are cut back to the checkpoint, so that no step appears twice.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tensor/file.h"
#include "train/evaluate/metrics.h"
#include "train/loop/event_file.h"

namespace patchcl {

// Takes the rows behind `iteration`, and parts of rows, out of a log. Error(io) when it cannot be read.
void cut_log(const std::string& path, int64_t iteration);

class RunLog {
 public:
  // In `folder`; rows behind `iteration` go. With `events`, also for TensorBoard (event_file.h).
  RunLog(const std::string& folder, int64_t iteration, bool events = false);

  using Values = std::vector<std::pair<std::string, double>>;
  // All: Error(io) when the disk is full.
  void write(int64_t iteration, const Values& values);
  // The scores; in the table their Dice, a row of its own; for TensorBoard with the folder's overlays.
  void write_validation(
      int64_t iteration, const Summary& scores, const std::vector<std::string>& class_names);
  // `json`: a spot check of the gradient.
  void write_audit(const std::string& json);
  // To the disk: before a checkpoint that follows these rows.
  void sync();

 private:
  void write_row(int64_t iteration, const Values& values);
  void widen(const Values& values);
  void write_overlays(int64_t iteration);
  std::string folder_, csv_path_, audit_path_;
  std::unique_ptr<AppendFile> jsonl_, csv_, audit_;
  std::unique_ptr<EventFile> events_;
  std::vector<std::string> columns_;  // of the table
};

}  // namespace patchcl
