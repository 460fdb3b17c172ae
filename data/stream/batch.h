// One training batch, as the loader makes it on the host and the trainer copies it to the device.
#pragma once
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace patchcl {

// The first `labeled` images have labels; the rows behind hold 255 and a method that read them would fail in
// the loss (label outside the classes).
struct Batch {
  Tensor images;  // (N,H,W,C) f32 or f64, in [0,1], weakly augmented
  Tensor labels;  // (N,H,W) u8
  Tensor strong;  // (N,H,W,C) the strong view of `images`; empty unless the method asked for it
  int64_t labeled = 0;
  std::vector<std::string> ids;  // file or slice of each image: for error messages and pictures
};

}  // namespace patchcl
