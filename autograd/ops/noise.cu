#include "autograd/ops/noise.h"
#include "tensor/cuda_runtime.cuh"

namespace patchcl {

namespace {
template <class T> void launch_noise(
    const Tensor& from, const Tensor& rng, double sigma, double limit, uint32_t site, const Tensor& to) {
  const T* x = from.data<T>();
  T* y = to.data<T>();
  const int64_t* state =
      rng.data<int64_t>();  // read on the device: a captured graph draws anew at every step
  cuda::for_each(to.numel(), [=] __device__(int64_t i) {
    const double u = to_unit(random_bits(uint64_t(state[0]), uint64_t(state[1]), site, uint64_t(2 * i)));
    const double v = to_unit(random_bits(uint64_t(state[0]), uint64_t(state[1]), site, uint64_t(2 * i + 1)));
    const double n = std::sqrt(-2 * std::log(u)) * std::cos(6.283185307179586 * v);
    y[i] = x[i] + T(::fmin(::fmax(sigma * n, -limit), limit));
  });
}

template <class T> void launch_pass_on(const Tensor& from, const GradOut& to) {
  const T* dy = from.data<T>();
  T* dx = to.t.data<T>();
  const bool accumulate = to.accumulate;
  cuda::for_each(from.numel(), [=] __device__(int64_t i) { store(dx[i], dy[i], accumulate); });
}
}  // namespace

void Noise::forward_cuda(const Forward& f) const {
  dispatch(f.y.dtype(),
      [&](auto zero) { launch_noise<decltype(zero)>(f.x[0], f.x[1], sigma_, limit_, site_, f.y); });
}

void Noise::backward_cuda(const Backward& b) const {
  if (b.dx[0]) dispatch(b.dy.dtype(), [&](auto zero) { launch_pass_on<decltype(zero)>(b.dy, b.dx[0]); });
}

}  // namespace patchcl
