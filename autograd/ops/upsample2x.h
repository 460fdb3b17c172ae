// Twice the height and width by bilinear interpolation with aligned corners (PyTorch's Upsample(2,
// align_corners=True)).
//
// Along an axis of n pixels output o lies at s(o) = o (n-1) / (2n-1), and the two inputs i around it have
// the weights 1 - |s(o) - i|. In whole numbers, as s(2j) = j - j/(2n-1) and s(2j+1) = j + (n-1-j)/(2n-1):
//   y[2j]   = x[j] + l_j (x[j-1] - x[j]),   l_j = j / (2n-1)
//   y[2j+1] = x[j] + r_j (x[j+1] - x[j]),   r_j = (n-1-j) / (2n-1)
// and, read the other way, each input gathers from the four outputs that it feeds:
//   dx[j] = r_(j-1) dy[2j-1] + (1 - l_j) dy[2j] + (1 - r_j) dy[2j+1] + l_(j+1) dy[2j+2]
// both axes one after the other. Terms outside the image do not exist; l_0 = r_(n-1) = 0.
// x (N,H,W,C) -> y (N,2H,2W,C); nothing is saved.
#pragma once
#include "autograd/tape.h"

namespace patchcl {

// The weights along an axis of n pixels.
struct UpsampleAxis {
  int64_t n;
  double step;
  explicit UpsampleAxis(int64_t pixels) : n(pixels), step(1 / double(2 * pixels - 1)) {}
  // Output o mixes input o / 2 with this one; with itself where there is none, at weight 0.
  HD int64_t neighbour(int64_t o) const {
    const int64_t i = o % 2 ? o / 2 + 1 : o / 2 - 1;
    return i < 0 || i >= n ? o / 2 : i;
  }
  // r or l
  HD double neighbour_weight(int64_t o) const { return double(o % 2 ? n - 1 - o / 2 : o / 2) * step; }
  // Input j feeds the outputs [first(j), last(j)], output o with this weight.
  HD int64_t first(int64_t j) const { return j == 0 ? 0 : 2 * j - 1; }
  HD int64_t last(int64_t j) const { return j == n - 1 ? 2 * j + 1 : 2 * j + 2; }
  HD double weight(int64_t o, int64_t j) const {
    return o / 2 == j ? 1 - neighbour_weight(o) : neighbour_weight(o);
  }
};

class Upsample2x final : public Op {
 public:
  const char* name() const override { return "upsample2x"; }
  Shape shape(const Shapes& x) const override;
  bool takes_bf16(size_t) const override { return true; }
  Saves saves() const override { return {}; }

 protected:
  OP_CPU OP_CUDA
};

Var upsample2x(const Var& x, Loc loc = Loc::current());

}  // namespace patchcl
