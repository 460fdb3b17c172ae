#include "autograd/ops/channel_dropout.h"
#include "tensor/cuda_runtime.cuh"

namespace patchcl {

namespace {
template <class T>
void launch(const Tensor& from, const Tensor& rng, DropoutSite where, const Tensor& to, bool accumulate) {
  const int64_t C = from.shape()[3], image = from.numel() / from.shape()[0];
  const T* x = from.data<T>();
  T* y = to.data<T>();
  const int64_t* state = rng.data<int64_t>();  // read on the device: a recorded step draws anew
  const uint32_t threshold = where.threshold(), site = where.site;
  const T scale = T(where.scale());
  cuda::for_each(from.numel(), [=] __device__(int64_t i) {
    const uint64_t map = uint64_t(i / image * C + i % C);
    const bool kept = random_bits(uint64_t(state[0]), uint64_t(state[1]), site, map) >= threshold;
    store(y[i], (kept ? scale : T(0)) * x[i], accumulate);
  });
}
}  // namespace

void ChannelDropout::forward_cuda(const Forward& f) const {
  dispatch(f.y.dtype(),
      [&](auto zero) { launch<decltype(zero)>(f.x[0], f.x[1], where_, f.y, /*accumulate=*/false); });
}

void ChannelDropout::backward_cuda(const Backward& b) const {
  if (!b.dx[0]) return;
  dispatch(b.dy.dtype(),
      [&](auto zero) { launch<decltype(zero)>(b.dy, b.x[1], where_, b.dx[0].t, b.dx[0].accumulate); });
}

}  // namespace patchcl
