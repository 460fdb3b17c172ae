// Supervised training on the labelled images alone: L = 1/2 (cross-entropy + Dice), METHODS 4.4; with
// --pdcr the contrast of patches beside it (pdcr.h).
#pragma once
#include "train/methods/pdcr.h"

namespace patchcl {

class Supervised final : public Method {
 public:
  Supervised() { pdcr_.declare(options(), /*unlabeled=*/false); }
  void resolve(const RunShape&) override { pdcr_.resolve(options()); }
  void declare(ParamLayout& layout, const UNetConfig& config) override { pdcr_.declare(layout, config); }
  bool recordable() const override { return !pdcr_.on(); }
  std::vector<Phase> phases(const RunShape& run) const override { return {whole_run(run, run.batch)}; }
  Var loss(Tape& tape, const TrainState& s, const Batch& b, LossTerms& log) override;

 private:
  Pdcr pdcr_;
};

}  // namespace patchcl
