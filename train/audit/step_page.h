// One training step as a page that teaches: what it sees, which windows it draws and why, where their
// embeddings lie, what each loss term is worth, and the gradient as it flows back, op by op. One file, no
// network, no framework; every number is the program's, in f64.
#pragma once
#include <string>
#include <vector>

#include "train/audit/step_audit.h"

namespace patchcl {

struct StepPage {
  std::string what;                      // "patchcl on phantom, ..., step 6"
  std::vector<std::string> class_names;  // may be empty
  std::string sources;  // folder of the program's sources, where links lead to; empty: no links
};
// Throws Error(io).
void write_step_page(StepAudit& step, const StepPage& page, const std::string& path);

}  // namespace patchcl
