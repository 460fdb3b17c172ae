// Audits of a training run: its next step, in f64, with the run's weights, teacher, queues and batch.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "train/audit/audit_setup.h"
#include "train/setup/config.h"
#include "train/audit/parameter_audit.h"

namespace patchcl {

// The step that follows a run's last checkpoint; `data`: where its data lies now, empty: where it lay. Throws
// as a resume does.
AuditedStep prepare_run(const std::string& run, const std::string& data = "");

// The step that a learner is about to take on `batch`, which lies on the host.
std::unique_ptr<StepAudit> audit_of(Learner& learner, const Batch& batch);

// A few tensors, drawn by (seed, iteration), checked numerically; and what each loss term does to each layer.
struct SpotCheck {
  std::vector<ParameterCheck> checks;
  std::string json;  // one line: checks, and the norm of every term's weighted gradient by layer
};
SpotCheck spot_check(StepAudit& step, uint64_t seed, int64_t iteration);

// Throws Error(audit) with the failed probes; does nothing when all passed.
void demand(const SpotCheck& check, int64_t iteration);

}  // namespace patchcl
