// A tape as a picture, in Graphviz's DOT language: every op with shape, norm of its value and of its
// gradient, source line.
//
// Boxes are ops, grouped by the layer that recorded them; parameters stand inside the box that reads them.
// Octagons are constants: images, labels, and every place where a gradient stops (a teacher's output,
// pseudo-labels, queue statistics). Dashed lines carry no gradient.
#pragma once
#include <string>

#include "autograd/tape.h"

namespace patchcl {

// Gradient norms appear for what kept its gradient: record with TapeOptions::keep and run backward() first.
std::string to_dot(const Tape& tape);

}  // namespace patchcl
