// Projection head: from the encoder's deepest map to a point on the unit sphere (METHODS 1.6).
//
//   g(x) = l2_normalize( W2 relu( BN( W1 GAP(encoder(x)) + b1 ) ) + b2 ),
//   256 -> 256 -> 128 for the standard UNet
// Left out: the release's second batch norm behind W2.
#pragma once
#include "layers/parts.h"

namespace patchcl {

class ProjectionHead {
 public:
  // Declares its parameters in `layout` under "projection."
  ProjectionHead(ParamLayout& layout, int64_t in, int64_t hidden, int64_t out);
  // (n,h,w,in) -> (n,out), rows of length 1. With batch statistics n must be at least 2.
  Var forward(Pass& pass, const Var& bottleneck) const;
  int64_t dimension() const { return out_; }

 private:
  int64_t out_;
  LinearLayer first_;
  NormLayer norm_;
  LinearLayer last_;
};

}  // namespace patchcl
