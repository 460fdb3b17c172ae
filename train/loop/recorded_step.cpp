#include "train/loop/recorded_step.h"

namespace patchcl {

void RecordedStep::record_on_tape() {
  log_ = {};
  loss_ = {};
  tape_ = std::make_unique<Tape>(arena_);
  loss_ = work_(*tape_, log_);
}

void RecordedStep::run() {
  if (plain_runs_++ < kPlainRuns) return record_on_tape();
  if (!graph_) graph_ = std::make_unique<cuda::Graph>([this] { record_on_tape(); });
  graph_->launch();
}

}  // namespace patchcl
