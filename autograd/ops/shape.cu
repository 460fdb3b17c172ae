#include "autograd/ops/shape.h"
#include "tensor/cuda_runtime.cuh"

namespace patchcl {

namespace {

template <class T>
void launch_copy(int64_t count, int64_t width, const RowWindow& from, const RowWindow& to, bool accumulate) {
  const T* f = from.t.data<T>() + from.offset;
  T* t = to.t.data<T>() + to.offset;
  const int64_t from_stride = from.stride, to_stride = to.stride;
  cuda::for_each(count * width, [=] __device__(int64_t e) {
    const int64_t r = e / width, i = e % width;
    store(t[r * to_stride + i], f[r * from_stride + i], accumulate);
  });
}

void copy_rows_cuda(
    int64_t count, int64_t width, const RowWindow& from, const RowWindow& to, bool accumulate) {
  dispatch(to.t.dtype(), [&](auto zero) { launch_copy<decltype(zero)>(count, width, from, to, accumulate); });
}

}  // namespace

void Reshape::forward_cuda(const Forward& p) const { copy(p.x[0].reshape(to_), p.y); }
void Reshape::backward_cuda(const Backward& p) const { backward_with(copy_rows_cuda, p); }
void Concat::forward_cuda(const Forward& p) const { forward_with(copy_rows_cuda, p); }
void Concat::backward_cuda(const Backward& p) const { backward_with(copy_rows_cuda, p); }
void SliceOp::forward_cuda(const Forward& p) const { forward_with(copy_rows_cuda, p); }
void SliceOp::backward_cuda(const Backward& p) const { backward_with(copy_rows_cuda, p); }

}  // namespace patchcl
