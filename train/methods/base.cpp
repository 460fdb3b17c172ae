#include "train/methods/base.h"

namespace patchcl {

namespace {
AddMethod base{
    {32, "base", "strong view, mixing, confident pseudo-labels of an average (METHODS 7.7)", make<Base>}};
}

Base::Base() {
  warm_up_ = 0;
  ramp_up_ = 0.25;
  consistency_weight_ = 2;
  consistency_ = Consistency::dice;
  confidence_ = 0.95;
  strong_ = Strong::jittered;
  mix_ = Mix::both;
  read_schedule();
  read_teacher();
  read_views();
  read_consistency();
  read_pseudo_labels();
  read_pdcr();
}

}  // namespace patchcl
