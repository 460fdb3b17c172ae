// UAFS, features selected by their own uncertainty (Li et al., TMI 2022; METHODS 3.3):
//
//   y = x (2 - H(a)),   a = conv1x1( relu( BN( conv_k(x) ) ) )
// with max(8, C/4) hidden channels and M logits; H is the entropy of their softmax (entropy_gate.h).
// Nothing supervises the logits: the gradient of the loss flows through H.
#pragma once
#include "layers/parts.h"

namespace patchcl {

class UncertaintyGate {
 public:
  // Declares NAME.0 (convolution), NAME.1 (batch norm) and NAME.3 (convolution), as torch.nn.Sequential
  // counts.
  UncertaintyGate(
      ParamLayout& layout, const std::string& name, int64_t channels, int64_t kernel, int64_t classes);
  // (N,H,W,channels), and so is the result.
  Var operator()(Pass& pass, const Var& x, Loc loc = Loc::current()) const;

 private:
  std::string name_;
  ConvLayer first_;
  NormLayer norm_;
  ConvLayer last_;
};

// For people: H of each gate that a tape has recorded, (N,H,W), f32 on the host, in the order of the pass.
// The tape must keep its values (TapeOptions::keep).
std::vector<Tensor> uncertainty_maps(const Tape& tape);

}  // namespace patchcl
