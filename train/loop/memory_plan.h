// What a run will need, before its first step: asked of a dry run, compared with what there is.
#pragma once
#include "train/setup/learner.h"

namespace patchcl {

// Prints the plan and takes the memory of a step. Error(device) with a batch that fits when it does not.
void plan_memory(Learner& learner);

}  // namespace patchcl
