#include "autograd/op.h"

namespace patchcl {

void Op::forward(const Forward& f) const { f.y.device() == Device::cpu ? forward_cpu(f) : forward_cuda(f); }

void Op::backward(const Backward& b) const { b.dy.device() == Device::cpu ? backward_cpu(b) : backward_cuda(b); }

void Op::no_cuda() const {
  fail(ExitCode::device, name(), "has no CUDA kernel in this program: it was built without CUDA (see `make info`)");
}

}  // namespace patchcl
