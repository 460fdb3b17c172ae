// Supervised training on the labelled images alone: L = 1/2 (cross-entropy + Dice), METHODS 4.4.
#pragma once
#include "train/methods/step.h"

namespace patchcl {

class Supervised final : public Method {
 public:
  bool recordable() const override { return true; }
  std::vector<Phase> phases(const RunShape& run) const override { return {whole_run(run, run.batch)}; }
  Var loss(Tape& tape, const TrainState& s, const Batch& b, LossTerms& log) override;
};

}  // namespace patchcl
