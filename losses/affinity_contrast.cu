#include "losses/affinity_contrast.h"
#include "losses/pixel_contrast.h"
#include "tensor/cuda_runtime.cuh"

namespace patchcl {

namespace {

// As in affinity_contrast.cpp; the lanes share the features of a vector and walk together over the others.
template <class T> struct AffinityRows {
  AffinityRows(std::span<const Tensor> x, const Tensor& stats, const AffinityContrastOptions& options)
      : B(x[0].shape()[0]), n(x[0].shape()[1]), m(x[1].shape()[1]), D(x[0].shape()[2]), K(x[2].shape()[2]),
        f(x[0].data<T>()), g(x[1].data<T>()), phi_f(x[2].data<T>()), phi_g(x[3].data<T>()),
        valid_f(x[4].data<T>()), valid_g(x[5].data<T>()), stats(stats.data<double>()), o(options) {}

  template <int kLanes>
  __device__ AffinityPair<double> pair(int64_t p, int64_t q, cuda::Lanes<kLanes> lanes) const {
    T cosine = 0;
    lanes.each(D, [&](int64_t d) { cosine += f[p * D + d] * g[q * D + d]; });
    return {o, double(lanes.sum(cosine)), o.divergence(phi_f + p * K, phi_g + q * K, K)};
  }
  __device__ int64_t columns(int64_t p) const { return p / n * m; }
  __device__ int64_t rows(int64_t q) const { return q / m * n; }
  __device__ double columns_left(int64_t p) const { return double(count(valid_g, columns(p), m)); }
  __device__ static int64_t count(const T* valid, int64_t begin, int64_t length) {
    int64_t total = 0;
    for (int64_t i = begin; i < begin + length; ++i) total += valid[i] != 0;
    return total;
  }
  __device__ bool image_counts(int64_t b) const {
    return count(valid_f, b * n, n) > 0 && count(valid_g, b * m, m) > 0;
  }
  template <int kLanes>
  __device__ T slope(int64_t p, int64_t q, double left, cuda::Lanes<kLanes> lanes) const {
    if (stats[2 * p + 1] == 0 || valid_g[q] == 0) return 0;
    const AffinityPair<double> s = pair(p, q, lanes);
    return T(stats[2 * p + 1] * s.slope(o, left, std::exp(s.exponent() - stats[2 * p])));
  }

  int64_t B, n, m, D, K;
  const T *f, *g, *phi_f, *phi_g, *valid_f, *valid_g;
  double* stats;  // log sum and weight of each row
  AffinityContrastOptions o;
};

// w_p l_p
template <class T> struct AffinityLossRow {
  AffinityRows<T> r;
  double* losses;
  template <int kLanes> __device__ void operator()(int64_t p, cuda::Lanes<kLanes> lanes) const {
    LogSum pushed;
    double total = 0;
    const double weight = r.stats[2 * p + 1], left = r.columns_left(p);
    for (int64_t q = r.columns(p); weight != 0 && q < r.columns(p) + r.m; ++q) {
      if (r.valid_g[q] == 0) continue;
      const AffinityPair<double> s = r.pair(p, q, lanes);
      total += s.term(r.o.form) / left;
      if (r.o.form == AffinityForm::contrastive) pushed.add(s.exponent());
    }
    if (lanes.lane != 0) return;
    const double log_sum = pushed.sum > 0 ? pushed.value() : 0;
    losses[p] = weight * (total + log_sum);
    r.stats[2 * p] = log_sum;
  }
};

// dL/df_p, or of the other side dL/dg_q.
template <class T> struct AffinityGradientRow {
  AffinityRows<T> r;
  bool of_columns;
  const T* dy;
  T* dx;
  bool accumulate;
  template <int kLanes> __device__ void operator()(int64_t i, cuda::Lanes<kLanes> lanes) const {
    T* to = dx + i * r.D;
    if (!accumulate) lanes.each(r.D, [&](int64_t d) { to[d] = 0; });
    const T* others = of_columns ? r.f : r.g;
    const int64_t begin = of_columns ? r.rows(i) : r.columns(i), count = of_columns ? r.n : r.m;
    const double left = r.columns_left(of_columns ? begin : i);
    for (int64_t k = begin; k < begin + count; ++k) {
      const T slope = dy[0] * r.slope(of_columns ? k : i, of_columns ? i : k, left, lanes);
      lanes.each(r.D, [&](int64_t d) { to[d] += slope * others[k * r.D + d]; });
    }
  }
};

template <class T> void launch_forward(const Forward& f, const AffinityContrastOptions& options) {
  const AffinityRows<T> r(f.x, f.aux[0], options);
  auto* losses = static_cast<double*>(f.workspace.raw());
  cuda::for_each(r.B * r.n, [=] __device__(int64_t p) {
    const bool counts = r.valid_f[p] != 0 && r.image_counts(p / r.n);
    int64_t images = 0;
    for (int64_t b = 0; counts && b < r.B; ++b) images += r.image_counts(b);
    r.stats[2 * p + 1] = counts ? 1 / double(r.count(r.valid_f, p / r.n * r.n, r.n)) / double(images) : 0;
  });
  cuda::for_each_row(r.B * r.n, r.D, AffinityLossRow<T>{r, losses});
  T* y = f.y.data<T>();
  cuda::reduce(
      r.B * r.n, losses + r.B * r.n, [=] __device__(int64_t p) { return losses[p]; },
      [=] __device__(double total) { y[0] = T(total); });
}

template <class T>
void launch_gradient(const AffinityRows<T>& r, const GradOut& to, bool of_columns, const T* dy) {
  if (!to) return;
  const int64_t count = r.B * (of_columns ? r.m : r.n);
  cuda::for_each_row(count, r.D, AffinityGradientRow<T>{r, of_columns, dy, to.t.data<T>(), to.accumulate});
}

template <class T> void launch_backward(const Backward& b, const AffinityContrastOptions& options) {
  const AffinityRows<T> r(b.x, b.aux[0], options);
  launch_gradient(r, b.dx[0], false, b.dy.data<T>());
  launch_gradient(r, b.dx[1], true, b.dy.data<T>());
}

}  // namespace

void AffinityContrast::forward_cuda(const Forward& f) const {
  dispatch(f.y.dtype(), [&](auto zero) { launch_forward<decltype(zero)>(f, options_); });
}

void AffinityContrast::backward_cuda(const Backward& b) const {
  dispatch(b.dy.dtype(), [&](auto zero) { launch_backward<decltype(zero)>(b, options_); });
}

}  // namespace patchcl
