// What each loss term of a step does to each layer: numbers and figures.
#pragma once
#include <string>
#include <vector>

#include "train/audit/step_audit.h"
#include "train/evaluate/html.h"

namespace patchcl {

// What a loss term does to one layer: the norm of its weighted gradient, and its direction against the
// supervised one.
struct Contribution {
  double norm, cosine;
};

struct TermReport {
  std::string name;
  double value, weight;
  std::vector<Contribution> layers;
};

struct TermsReport {
  std::vector<std::string> layers;
  std::vector<TermReport> terms;
};
// Supervised terms count as one: do the others help or fight it?
TermsReport report_terms(const ParamLayout& layout, const std::vector<TermGradient>& terms);
// What the contrast and the supervised loss do to the layers that both reach: for
// train/methods/matched_weight.h.
SharedGradients shared_gradients(StepAudit& step);
// Norms as bars, cosines as coloured cells.
void add_term_figures(html::Page& page, const TermsReport& report);

}  // namespace patchcl
