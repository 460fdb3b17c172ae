#include "layers/projection_head.h"

#include "autograd/ops/global_avg_pool.h"
#include "autograd/ops/l2_normalize.h"
#include "autograd/ops/pointwise.h"

namespace patchcl {

// Indices of torch.nn.Sequential, whose activation is 2.
ProjectionHead::ProjectionHead(ParamLayout& layout, int64_t in, int64_t hidden, int64_t out, bool last_norm)
    : out_(out), first_(layout, "projection.0", in, hidden), norm_(layout, "projection.1", hidden),
      last_(layout, "projection.3", hidden, out) {
  if (last_norm) last_norm_.emplace(layout, "projection.4", out);
}

Var ProjectionHead::forward(Pass& pass, const Var& bottleneck) const {
  return embed(pass, global_avg_pool(bottleneck));
}

Var ProjectionHead::embed(Pass& pass, const Var& rows) const {
  const Tape::Scope scope(pass.tape(), "projection");
  const Var point = last_(pass, relu(norm_(pass, first_(pass, rows))));
  return l2_normalize(last_norm_ ? (*last_norm_)(pass, point) : point);  // EQ: 1.6 embedding g
}

}  // namespace patchcl
