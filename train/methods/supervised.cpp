#include "train/methods/supervised.h"

namespace patchcl {

namespace {
AddMethod supervised{{0, "supervised", "cross-entropy and Dice on the labelled images", make<Supervised>}};
}

Var Supervised::loss(Tape& tape, const TrainState& s, const Batch& b, LossTerms& log) {
  Step step{tape, s, b, log};
  const UNet::Output maps = step.student_pass(tape.constant(b.images(), "images"));
  const Var loss = step.supervised_loss(maps.logits, tape.constant(b.labels(), "labels"));
  return pdcr_.add_to(loss, step, maps, {b.on_host().labels(), {}});
}

}  // namespace patchcl
