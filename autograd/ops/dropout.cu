#include "autograd/ops/dropout.h"
#include "tensor/bfloat16.h"
#include "tensor/cuda_runtime.cuh"

namespace patchcl {

void DropoutMask::draw_cuda(const Tensor& rng, DropoutSite where, const Tensor& mask) {
  const int64_t* state =
      rng.data<int64_t>();  // read on the device: a captured graph draws anew at every step
  int64_t* words = mask.data<int64_t>();
  const uint32_t site = where.site, threshold = where.threshold();
  cuda::for_each(mask.numel(), [=] __device__(int64_t w) {
    words[w] = DropoutMask::word(uint64_t(state[0]), uint64_t(state[1]), site, threshold, w);
  });
}

namespace {
template <class X>
void launch_mask(const Tensor& from, const Tensor& mask, DropoutSite where, const GradOut& to) {
  using T = Precise<X>;
  const X* in = from.data<X>();
  const int64_t* words = mask.data<int64_t>();
  X* out = to.t.data<X>();
  const T scale = T(where.scale());
  const bool accumulate = to.accumulate;
  cuda::for_each(from.numel(), [=] __device__(int64_t i) {
    store(out[i], DropoutMask::kept(words, i) ? T(in[i]) * scale : T(0), accumulate);
  });
}
}  // namespace

void Dropout::forward_cuda(const Forward& p) const {
  DropoutMask::draw_cuda(p.x[1], where_, p.aux[0]);
  dispatch_data(p.y.dtype(), [&](auto zero) {
    launch_mask<decltype(zero)>(p.x[0], p.aux[0], where_, {p.y, false});
  });
}

void Dropout::backward_cuda(const Backward& p) const {
  if (p.dx[0])
    dispatch_data(
        p.dy.dtype(), [&](auto zero) { launch_mask<decltype(zero)>(p.dy, p.aux[0], where_, p.dx[0]); });
}

}  // namespace patchcl
