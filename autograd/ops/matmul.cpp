#include "autograd/ops/matmul.h"

#include "tensor/cuda.h"
#include "tensor/device.h"
#include "tensor/gemm.h"
#include "tensor/parallel.h"

namespace patchcl {

template <class T> void multiply(Device device, bool ta, bool tb, int64_t m, int64_t n, int64_t k, const T* a,
    const T* b, bool accumulate, T* c) {
  const int64_t lda = ta ? m : k, ldb = tb ? k : n;
  if (device == Device::cuda) return cuda::gemm(ta, tb, m, n, k, T(1), a, lda, b, ldb, T(accumulate), c, n);
  if (kernels() != Kernels::naive) return gemm(ta, tb, m, n, k, T(1), a, lda, b, ldb, T(accumulate), c, n);
  parallel_for(m, [&](int64_t i) {
    for (int64_t j = 0; j < n; ++j) {
      double sum = 0;
      for (int64_t l = 0; l < k; ++l)
        sum += double(ta ? a[l * m + i] : a[i * k + l]) * double(tb ? b[j * k + l] : b[l * n + j]);
      store(c[i * n + j], T(sum), accumulate);
    }
  });
}

template void multiply(
    Device, bool, bool, int64_t, int64_t, int64_t, const float*, const float*, bool, float*);
template void multiply(
    Device, bool, bool, int64_t, int64_t, int64_t, const double*, const double*, bool, double*);

Shape Matmul::shape(const Shapes& x) const {
  require(x.size() == 2 && x[0].rank() == 2 && x[1].rank() == 2, name(), "takes 2 matrices, got ", x.at(0),
      " and ", x.at(1));
  require(x[0][ta_ ? 0 : 1] == x[1][tb_ ? 1 : 0], name(), x[0], ta_ ? " transposed" : "", " times ", x[1],
      tb_ ? " transposed" : "", ": the inner sizes differ");
  return {x[0][ta_ ? 1 : 0], x[1][tb_ ? 0 : 1]};
}

void Matmul::forward_cpu(const Forward& f) const { forward_any(f); }
void Matmul::backward_cpu(const Backward& b) const { backward_any(b); }

void Matmul::forward_any(const Forward& f) const {
  dispatch(f.y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const int64_t k = f.x[0].shape()[ta_ ? 0 : 1];
    multiply(f.y.device(), ta_, tb_, f.y.shape()[0], f.y.shape()[1], k, f.x[0].data<T>(), f.x[1].data<T>(),
        false, f.y.data<T>());
  });
}

void Matmul::backward_any(const Backward& p) const {
  dispatch(p.dy.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T *a = p.x[0].data<T>(), *b = p.x[1].data<T>(), *dy = p.dy.data<T>();
    const Device d = p.dy.device();
    const int64_t m = p.dy.shape()[0], n = p.dy.shape()[1], k = p.x[0].shape()[ta_ ? 0 : 1];
    if (const GradOut& da = p.dx[0]) {
      if (ta_) multiply(d, tb_, true, k, m, n, b, dy, da.accumulate, da.t.data<T>());
      else multiply(d, false, !tb_, m, k, n, dy, b, da.accumulate, da.t.data<T>());
    }
    if (const GradOut& db = p.dx[1]) {
      if (tb_) multiply(d, true, ta_, n, k, m, dy, a, db.accumulate, db.t.data<T>());
      else multiply(d, !ta_, false, k, n, m, a, dy, db.accumulate, db.t.data<T>());
    }
  });
}

Var matmul(const Var& a, const Var& b, bool transpose_a, bool transpose_b, Loc loc) {
  return a.tape().apply(std::make_shared<Matmul>(transpose_a, transpose_b), {a, b}, loc);
}

}  // namespace patchcl
