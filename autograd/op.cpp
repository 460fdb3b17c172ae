#include "autograd/op.h"

#include <chrono>

#include "tensor/cuda.h"

namespace patchcl {

namespace {
OpObserver g_observer = nullptr;

// On the GPU by its own clock; an observed op is waited for.
template <class F> void observed(const Op& op, const Tensor& y, bool backward, F&& kernel) {
  if (!g_observer) return kernel();
  if (y.device() == Device::cuda) {
    cuda::Stopwatch watch;
    watch.start();
    kernel();
    return g_observer(op, y.shape(), backward, watch.stop());
  }
  const auto start = std::chrono::steady_clock::now();
  kernel();
  g_observer(op, y.shape(), backward,
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
}
}  // namespace

void observe_ops(OpObserver observer) { g_observer = observer; }

void Op::forward(const Forward& f) const {
  observed(*this, f.y, false, [&] { f.y.device() == Device::cpu ? forward_cpu(f) : forward_cuda(f); });
}

void Op::backward(const Backward& b) const {
  observed(*this, b.dy, true, [&] { b.dy.device() == Device::cpu ? backward_cpu(b) : backward_cuda(b); });
}

void Op::no_cuda() const {
  fail(ExitCode::device, name(),
      "has no CUDA kernel in this program: it was built without CUDA (see `make info`)");
}

}  // namespace patchcl
