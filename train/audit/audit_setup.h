// Which step of which training is audited, as the command line says it.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "train/audit/step_audit.h"

namespace CLI {
class App;
}

namespace patchcl {

// A step ready for audit, and the gradient norms of the steps that led to it.
struct AuditedStep {
  std::unique_ptr<StepAudit> step;
  std::vector<std::vector<LayerNorm>> history;  // [step][layer]
  std::vector<std::string> class_names;
  size_t phases = 1;  // of the method's run
  std::string what;   // "patchcl on phantom, warm-up, 2 labelled + 2 unlabelled images of 64x64, step 6"
};

// A run of `steps` steps and one more in all its phases; audited is the last step of one of them.
struct AuditSetup {
  std::string method = "patchcl", data = "phantom", weights;
  int64_t size = 64, batch = 4, labeled = 4, steps = 6;
  int64_t phase = 0;  // from 1 on; 0: the last
  UNetConfig network;
  uint64_t seed = 1;
  int threads = 0;
  std::shared_ptr<Method> options;  // those of the method that the command line says

  void add(CLI::App& app);
  // Trains up to the audited step, so that queues are filled and the teacher differs from the student.
  // Error(usage) where the method's run has no such phase.
  AuditedStep prepare() const;
};

}  // namespace patchcl
