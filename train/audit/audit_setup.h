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
  std::string what;  // "patchcl on phantom, 2 labelled + 2 unlabelled images of 64x64, step 6"
};

struct AuditSetup {
  std::string method = "patchcl", data = "phantom", weights;
  int64_t size = 64, batch = 4, labeled = 4, steps = 6;
  UNetConfig network;
  uint64_t seed = 1;
  int threads = 0;
  std::shared_ptr<Method> options;  // those of the method that the command line says

  void add(CLI::App& app);
  // Trains `steps` steps, so that queues are filled and the teacher differs from the student.
  AuditedStep prepare() const;
};

}  // namespace patchcl
