// Supervised training on the labelled images alone: L = 1/2 (cross-entropy + Dice), METHODS 4.4.
#pragma once
#include "train/methods/method.h"

namespace patchcl {

class Supervised final : public Method {
 public:
  std::string name() const override { return "supervised"; }
  bool recordable() const override { return true; }
  Var loss(Tape& tape, const TrainState& s, const Batch& b, LossTerms& log) override;
};

}  // namespace patchcl
