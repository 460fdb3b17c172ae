// Twice the height and width by bilinear interpolation with aligned corners (PyTorch's Upsample(2, align_corners=True)):
//
//   y[n,o,q,c] = sum_{i,j} a(o,i) b(q,j) x[n,i,j,c],   dx[n,i,j,c] = sum_{o,q} a(o,i) b(q,j) dy[n,o,q,c]
//   a(o,i) = max(0, 1 - |s(o) - i|),  s(o) = o (H-1) / (2H-1);   b likewise with W
// so two rows of x feed a row of y. Backward is the same sum read the other way: each dx gathers from the at most five
// rows and columns of y that it fed, no scatter. x (N,H,W,C) -> y (N,2H,2W,C); nothing is saved.
#pragma once
#include "autograd/tape.h"

namespace patchcl {

class Upsample2x final : public Op {
 public:
  const char* name() const override { return "upsample2x"; }
  Shape shape(const Shapes& x) const override;
  Saves saves() const override { return {}; }

 protected:
  OP_CPU OP_CUDA
};

Var upsample2x(const Var& x, Loc loc = Loc::current());

// Along one axis of n pixels, output o reads inputs i and i+1 with weights 1 - t and t. t = 0 at the last input.
struct UpsampleTap {
  int64_t i;
  double t;
};
HD inline UpsampleTap upsample_tap(int64_t o, int64_t n) {
  const int64_t p = o * (n - 1), q = 2 * n - 1;  // s(o) = p / q in whole numbers: no rounding decides a tap
  return {p / q, double(p % q) / double(q)};
}
// The outputs that input i feeds: all o with |s(o) - i| < 1.
struct UpsampleRange {
  int64_t begin, end;
};
HD inline UpsampleRange upsample_outputs(int64_t i, int64_t n) {
  if (n == 1) return {0, 2};
  const int64_t q = 2 * n - 1, begin = (i - 1) * q / (n - 1) + 1, end = ((i + 1) * q + n - 2) / (n - 1);
  return {i == 0 ? 0 : begin, end < 2 * n ? end : 2 * n};
}
// a(o,i) for an o of that range.
HD inline double upsample_weight(int64_t o, int64_t i, int64_t n) {
  const UpsampleTap tap = upsample_tap(o, n);
  return tap.i == i ? 1 - tap.t : tap.t;
}

}  // namespace patchcl
