// Projection head: from the encoder's deepest map to a point on the unit sphere (METHODS 1.6).
//
//   g(x) = l2_normalize( W2 relu( BN( W1 GAP(encoder(x)) + b1 ) ) + b2 ),
//   256 -> 256 -> 128 for the standard UNet
// The release has a second batch norm behind W2: `last_norm`. Rows that were pooled otherwise (METHODS 1.13)
// take the same way from W1 on.
#pragma once
#include <optional>

#include "layers/parts.h"

namespace patchcl {

class ProjectionHead {
 public:
  // Declares its parameters in `layout` under "projection."
  ProjectionHead(ParamLayout& layout, int64_t in, int64_t hidden, int64_t out, bool last_norm = false);
  // (n,h,w,in) -> (n,out), rows of length 1. With batch statistics n must be at least 2.
  Var forward(Pass& pass, const Var& bottleneck) const;
  // (n,in) -> (n,out), likewise.
  Var embed(Pass& pass, const Var& rows) const;
  int64_t dimension() const { return out_; }

 private:
  int64_t out_;
  LinearLayer first_;
  NormLayer norm_;
  LinearLayer last_;
  std::optional<NormLayer> last_norm_;
};

}  // namespace patchcl
