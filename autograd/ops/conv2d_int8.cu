// The definition, one thread an output: nobody runs it fast on a GPU, where `--math int8` is not offered.
#include "autograd/ops/conv2d_int8.h"
#include "autograd/ops/conv2d_int8_naive_kernels.h"
#include "tensor/cuda_runtime.cuh"

namespace patchcl {

namespace {

template <class X> void launch_forward(const Int8Inputs<X>& in, const Forward& f) {
  auto* ends = static_cast<Int8Channel<Precise<X>>*>(f.workspace.raw());
  cuda::for_each(in.s.cout, [=] __device__(int64_t o) { ends[o] = in.channel(o); });
  X* y = f.y.data<X>();
  cuda::for_each_pixel(f.y.shape(), [=] __device__(int64_t n, int64_t i, int64_t j, int64_t o) {
    y[((n * in.s.h + i) * in.s.w + j) * in.s.cout + o] = in.output(n, i, j, o, ends[o]);
  });
}

}  // namespace

void Conv2dInt8::forward_cuda(const Forward& f) const {
  dispatch_data(f.y.dtype(), [&](auto zero) {
    launch_forward(Int8Inputs<decltype(zero)>(sizes(shapes_of(f.x)), f, eps_, slope_), f);
  });
}

void Conv2dInt8::backward_cuda(const Backward&) const { fail(ExitCode::internal, name(), "has no gradient"); }

}  // namespace patchcl
