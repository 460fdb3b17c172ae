#include "autograd/ops/matmul.h"

namespace patchcl {

void Matmul::forward_cuda(const Forward& f) const { forward_any(f); }
void Matmul::backward_cuda(const Backward& b) const { backward_any(b); }

}  // namespace patchcl
