#include "autograd/ops/conv2d_norm_act.h"

namespace patchcl {

void Conv2dNormAct::forward_cuda(const Forward& f) const { forward_separately(f); }

void Conv2dNormAct::backward_cuda(const Backward&) const {
  fail(ExitCode::internal, name(), "has no gradient");
}

}  // namespace patchcl
