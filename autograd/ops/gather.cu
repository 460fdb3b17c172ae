#include <bit>

#include "autograd/ops/gather.h"
#include "tensor/cuda_runtime.cuh"

namespace patchcl {

namespace {

template <class T> void launch_forward(const Forward& f) {
  const int64_t rows = f.x[0].shape()[0], width = f.x[0].shape()[1];
  const T* x = f.x[0].data<T>();
  const int32_t* index = f.x[1].data<int32_t>();
  T* y = f.y.data<T>();
  cuda::for_each(f.y.numel(), [=] __device__(int64_t e) {
    const int32_t row = index[e / width];
    y[e] = row >= 0 && row < rows ? x[row * width + e % width] : T(NAN);
  });
}

// A row of x and the i that asks for it, as one number: sorted, these list for each row its i in their order.
constexpr int64_t kNoPair = INT64_MAX;  // the last
HD int64_t pair_of(int64_t row, int64_t i) { return row << 32 | i; }
HD int64_t row_of(int64_t pair) { return pair >> 32; }
HD int64_t i_of(int64_t pair) { return pair & 0xffffffff; }

// Batcher's bitonic sort of a power of two of numbers.
void sort(int64_t* v, int64_t count) {
  for (int64_t run = 2; run <= count; run *= 2)
    for (int64_t stride = run / 2; stride > 0; stride /= 2)
      cuda::for_each(count / 2, [=] __device__(int64_t t) {
        const int64_t low = t / stride * 2 * stride + t % stride, high = low + stride;
        const int64_t a = v[low], b = v[high];
        const bool upwards = (low & run) == 0;
        if ((a > b) != upwards) return;
        v[low] = b;
        v[high] = a;
      });
}

void sort_pairs(const Tensor& index, int64_t rows, int64_t* pairs) {
  const int32_t* row = index.data<int32_t>();
  const int64_t n = index.numel(), count = int64_t(std::bit_ceil(uint64_t(n)));
  cuda::for_each(count, [=] __device__(int64_t i) {
    pairs[i] = i < n && row[i] >= 0 && row[i] < rows ? pair_of(row[i], i) : kNoPair;
  });
  sort(pairs, count);
}

template <class T> void launch_backward(const Backward& b) {
  const GradOut& out = b.dx[0];
  const int64_t width = out.t.shape()[1], n = b.x[1].numel();
  auto* const pairs = static_cast<int64_t*>(b.workspace.raw());
  sort_pairs(b.x[1], out.t.shape()[0], pairs);
  if (!out.accumulate) fill_zero(out.t);
  const T* dy = b.dy.data<T>();
  T* dx = out.t.data<T>();
  cuda::for_each(n * width, [=] __device__(int64_t e) {
    const int64_t first = e / width, j = e % width, row = row_of(pairs[first]);
    if (pairs[first] == kNoPair || (first > 0 && row_of(pairs[first - 1]) == row)) return;
    T sum = dx[row * width + j];  // added in the order of i, as on the CPU
    for (int64_t k = first; k < n && row_of(pairs[k]) == row; ++k) sum += dy[i_of(pairs[k]) * width + j];
    dx[row * width + j] = sum;
  });
}

}  // namespace

void GatherRows::forward_cuda(const Forward& f) const {
  dispatch(f.y.dtype(), [&](auto zero) { launch_forward<decltype(zero)>(f); });
}

void GatherRows::backward_cuda(const Backward& b) const {
  if (b.dx[0]) dispatch(b.dy.dtype(), [&](auto zero) { launch_backward<decltype(zero)>(b); });
}

}  // namespace patchcl
