// Channel dropout:  y_nhwc = m_nc x_nhwc / (1 - p),  m_nc = [bits_nc >= p 2^32],  dx likewise from dy
//
// Whole maps are kept or dropped, one draw for each image and channel: bits_nc is random_bits(seed, step,
// site, n C + c) of dropout.h. torch.nn.Dropout2d. x (N,H,W,C); rng i64 (2) = (seed, step); 0 <= p < 1. N C
// numbers cost nothing: backward draws them again.
#pragma once
#include "autograd/ops/dropout.h"

namespace patchcl {

class ChannelDropout final : public Op {
 public:
  explicit ChannelDropout(DropoutSite where);
  const char* name() const override { return "channel_dropout"; }
  Shape shape(const Shapes& x) const override;
  Saves saves() const override { return {.inputs = 0b10, .output = false}; }
  bool differentiable(size_t i) const override { return i == 0; }

 protected:
  OP_CPU
  OP_CUDA

 private:
  DropoutSite where_;
};

Var channel_dropout(const Var& x, double p, const Var& rng, uint32_t site, Loc loc = Loc::current());

}  // namespace patchcl
