#include "losses/info_nce.h"
#include "tensor/cuda_runtime.cuh"

namespace patchcl {

namespace {

// The inputs as the kernels read them. Lists of classes are short: every thread counts the anchors for
// itself.
template <class T> struct InfoNceInputs {
  explicit InfoNceInputs(std::span<const Tensor> x, double tau)
      : q(x[0].data<T>()), k(x[1].data<T>()), negatives(x[2].data<T>()), anchor_class(x[3].data<int32_t>()),
        negative_class(x[4].data<int32_t>()), n(x[0].shape()[0]), m(x[2].shape()[0]), D(x[0].shape()[1]),
        tau(T(tau)) {}
  __device__ double anchors() const {
    int64_t count = 0;
    for (int64_t a = 0; a < n; ++a) count += anchor_class[a] >= 0;
    return count > 0 ? double(count) : 1;
  }
  __device__ bool is_negative(int64_t i, int64_t j) const {
    return negative_class[j] >= 0 && negative_class[j] != anchor_class[i];
  }
  __device__ T score(int64_t i, const T* key) const {
    T sum = 0;
    for (int64_t d = 0; d < D; ++d) sum += q[i * D + d] * key[d];
    return sum / tau;
  }
  // Of the j-th negative; -infinity leaves it out of the softmax.
  __device__ T negative_score(int64_t i, int64_t j) const {
    return is_negative(i, j) ? score(i, negatives + j * D) : T(-INFINITY);
  }

  const T *q, *k, *negatives;
  const int32_t *anchor_class, *negative_class;
  int64_t n, m, D;
  T tau;
};

// One anchor per row, the lanes share its negatives; z as in info_nce.cpp.
template <class T> struct AnchorRow {
  InfoNceInputs<T> c;
  T* dz;
  double* losses;
  int64_t first;  // that the logarithm counts: 1 leaves out the positive
  template <int kLanes> __device__ void operator()(int64_t i, cuda::Lanes<kLanes> lanes) const {
    T* z = dz + i * (c.m + 1);
    if (c.anchor_class[i] < 0) {
      lanes.each(c.m + 1, [&](int64_t j) { z[j] = 0; });
      if (lanes.lane == 0) losses[i] = 0;
      return;
    }
    const T positive = c.score(i, c.k + i * c.D);
    T top = -INFINITY;
    lanes.each(c.m + 1, [&](int64_t j) {
      z[j] = j == 0 ? positive : c.negative_score(i, j - 1);
      top = j >= first && z[j] > top ? z[j] : top;
    });
    top = lanes.max(top);
    if (top == T(-INFINITY)) {
      lanes.each(c.m + 1, [&](int64_t j) { z[j] = 0; });
      if (lanes.lane == 0) losses[i] = 0;
      return;
    }
    const double sum =
        lanes.total(c.m + 1, [&](int64_t j) { return z[j] = j < first ? T(0) : std::exp(z[j] - top); });
    const double anchors = c.anchors();
    lanes.each(c.m + 1, [&](int64_t j) { z[j] = T((double(z[j]) / sum - (j == 0)) / anchors); });
    if (lanes.lane == 0) losses[i] = (std::log(sum) + double(top - positive)) / anchors;
  }
};

template <class T> void launch_forward(const Forward& f, double tau, int64_t first) {
  const InfoNceInputs<T> c(f.x, tau);
  auto* losses = static_cast<double*>(f.workspace.raw());
  cuda::for_each_row(c.n, c.m + 1, AnchorRow<T>{c, f.aux[0].data<T>(), losses, first});
  cuda::add_up(losses, c.n, f.y.data<T>());
}

template <class T> void launch_backward(const Backward& b, double tau) {
  const InfoNceInputs<T> c(b.x, tau);
  const T *dz = b.aux[0].data<T>(), *dy = b.dy.data<T>();
  if (b.dx[0]) {
    T* dq = b.dx[0].t.data<T>();
    const bool accumulate = b.dx[0].accumulate;
    cuda::for_each(c.n * c.D, [=] __device__(int64_t at) {
      const int64_t i = at / c.D, d = at % c.D;
      const T* g = dz + i * (c.m + 1);
      T sum = g[0] * c.k[at];
      for (int64_t j = 0; j < c.m; ++j) sum += g[j + 1] * c.negatives[j * c.D + d];
      store(dq[at], dy[0] / c.tau * sum, accumulate);
    });
  }
  if (b.dx[1]) {
    T* dk = b.dx[1].t.data<T>();
    const bool accumulate = b.dx[1].accumulate;
    cuda::for_each(c.n * c.D, [=] __device__(int64_t at) {
      store(dk[at], dy[0] / c.tau * dz[at / c.D * (c.m + 1)] * c.q[at], accumulate);
    });
  }
  if (b.dx[2]) {
    T* dn = b.dx[2].t.data<T>();
    const bool accumulate = b.dx[2].accumulate;
    cuda::for_each(c.m * c.D, [=] __device__(int64_t at) {
      const int64_t j = at / c.D, d = at % c.D;
      T sum = 0;
      for (int64_t i = 0; i < c.n; ++i) sum += dz[i * (c.m + 1) + j + 1] * c.q[i * c.D + d];
      store(dn[at], dy[0] / c.tau * sum, accumulate);
    });
  }
}

}  // namespace

void InfoNce::forward_cuda(const Forward& f) const {
  const int64_t first = denominator_ == Denominator::all ? 0 : 1;
  dispatch(f.y.dtype(), [&](auto zero) { launch_forward<decltype(zero)>(f, tau_, first); });
}

void InfoNce::backward_cuda(const Backward& b) const {
  dispatch(b.dy.dtype(), [&](auto zero) { launch_backward<decltype(zero)>(b, tau_); });
}

}  // namespace patchcl
