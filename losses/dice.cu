#include "losses/dice.h"
#include "losses/labels.h"
#include "tensor/cuda_runtime.cuh"

namespace patchcl {

namespace {

// Block (b, k): partial[k * blocks + b] = the sums of class k over the pixels of block b.
template <class T> __global__ void partial_sums_kernel(LabelledPixels<T> x, ClassSums* partial) {
  const int64_t k = blockIdx.y, step = int64_t(gridDim.x) * cuda::kThreads;
  ClassSums sums{};
  for (int64_t i = int64_t(blockIdx.x) * cuda::kThreads + threadIdx.x; i < x.count; i += step) {
    const double w = double(x.w_or_nan(i)), p = double(x.p[i * x.classes + k]), g = x.label[i] == k;
    sums += {w * g * p, w * (p * p + g)};
  }
  sums = cuda::block_sum(sums);
  if (threadIdx.x == 0) partial[k * gridDim.x + blockIdx.x] = sums;
}

// One block, one thread per class.
template <class T> __global__ void loss_kernel(
    int64_t classes, int blocks, double smooth, const ClassSums* partial, double* factors, T* y) {
  const int64_t k = threadIdx.x;
  double loss = 0;
  if (k < classes) {
    ClassSums s{};
    for (int b = 0; b < blocks; ++b) s += partial[k * blocks + b];
    const double numerator = 2 * s.i + smooth, d = s.d + smooth;
    loss = 1 - numerator / d;
    factors[2 * k] = -2 / (d * double(classes));
    factors[2 * k + 1] = 2 * numerator / (d * d * double(classes));
  }
  loss = cuda::block_sum(loss);
  if (k == 0) y[0] = T(loss / double(classes));
}

template <class T> void launch_forward(const Forward& f, double smooth) {
  const LabelledPixels<T> x(f.x);
  auto* partial = static_cast<ClassSums*>(f.workspace.raw());
  const int blocks = cuda::reduce_blocks(x.count);
  const auto here = cuda::Caller::current();
  cuda::launch(here, partial_sums_kernel<T>, dim3(unsigned(blocks), unsigned(x.classes)), x, partial);
  static_assert(cuda::kThreads >= 256, "one thread per class of u8 labels");
  cuda::launch(
      here, loss_kernel<T>, 1, x.classes, blocks, smooth, partial, f.aux[0].data<double>(), f.y.data<T>());
}

template <class T> void launch_backward(const Backward& b) {
  const LabelledPixels<T> x(b.x);
  const double* factors = b.aux[0].data<double>();
  const T* dy = b.dy.data<T>();
  T* dp = b.dx[0].t.data<T>();
  const bool accumulate = b.dx[0].accumulate;
  cuda::for_each(b.x[0].numel(), [=] __device__(int64_t e) {
    const int64_t i = e / x.classes, k = e % x.classes;
    const T on_label = k == x.label[i] ? T(double(dy[0]) * factors[2 * k]) : T(0),
            slope = T(double(dy[0]) * factors[2 * k + 1]);
    store(dp[e], x.w_or_nan(i) * (slope * x.p[e] + on_label), accumulate);
  });
}

}  // namespace

void Dice::forward_cuda(const Forward& f) const {
  dispatch(f.y.dtype(), [&](auto zero) { launch_forward<decltype(zero)>(f, smooth_); });
}

void Dice::backward_cuda(const Backward& b) const {
  if (b.dx[0]) dispatch(b.dy.dtype(), [&](auto zero) { launch_backward<decltype(zero)>(b); });
}

}  // namespace patchcl
