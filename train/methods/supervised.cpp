#include "train/methods/supervised.h"

namespace patchcl {

namespace {
AddMethod supervised{{0, "supervised", "cross-entropy and Dice on the labelled images", make<Supervised>}};
}

Var Supervised::loss(Tape& tape, const TrainState& s, const Batch& b, LossTerms& log) {
  const Step step{tape, s, b, log};
  return step.supervised_loss(
      step.student(tape.constant(b.images(), "images")), tape.constant(b.labels(), "labels"));
}

}  // namespace patchcl
