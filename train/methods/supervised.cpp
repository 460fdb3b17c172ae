#include "train/methods/supervised.h"

#include "train/methods/terms.h"

namespace patchcl {

Var Supervised::loss(Tape& tape, const TrainState& s, const Batch& b, LossTerms& log) {
  Pass pass(tape, *s.student, /*training=*/true, s.rng);
  const UNet::Output out = s.model->forward(pass, tape.constant(b.images, "images"));
  return supervised_loss(out.logits, tape.constant(b.labels, "labels"), {}, log);
}

}  // namespace patchcl
