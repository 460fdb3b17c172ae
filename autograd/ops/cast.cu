#include "autograd/ops/cast.h"
#include "tensor/cuda_runtime.cuh"

namespace patchcl {

namespace {
template <class X, class Y> void launch_convert(const Tensor& from, const Tensor& to, bool accumulate) {
  const X* x = from.data<X>();
  Y* y = to.data<Y>();
  cuda::for_each(to.numel(), [=] __device__(int64_t i) { store(y[i], Precise<Y>(x[i]), accumulate); });
}
void convert_cuda(const Tensor& from, const Tensor& to, bool accumulate) {
  dispatch_data(from.dtype(), [&](auto a) {
    dispatch_data(
        to.dtype(), [&](auto b) { launch_convert<decltype(a), decltype(b)>(from, to, accumulate); });
  });
}
}  // namespace

void Cast::forward_cuda(const Forward& f) const { convert_cuda(f.x[0], f.y, false); }
void Cast::backward_cuda(const Backward& b) const {
  if (b.dx[0]) convert_cuda(b.dy, b.dx[0].t, b.dx[0].accumulate);
}

}  // namespace patchcl
