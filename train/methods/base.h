// The strong base (METHODS 7.7): what the best of today's semi-supervised methods have in common, in one
// method of one student and one teacher.
//
//   y = argmax p',  c = max p'            the teacher on the unlabelled images as they are
//   x = mix(strong(x_u)),  y, c likewise  other colours; boxes of other images (CutMix) or of labelled ones
//   L = 1/2 (CE + Dice)(x_l) + 2 w(t) Dice(student(x), y; pixels with c >= 0.95)
// w(t) grows over the first quarter of the run. All parts are options that other methods read too; this one
// is a set of defaults. A contrast on top of it: patchcl with these options.
#pragma once
#include "train/methods/semi_supervised.h"

namespace patchcl {

class Base final : public SemiSupervised {
 public:
  Base();
};

}  // namespace patchcl
