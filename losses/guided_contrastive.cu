#include "losses/guided_contrastive.h"
#include "tensor/cuda_runtime.cuh"

namespace patchcl {

namespace {

// The inputs as the kernels read them; guided_contrastive.cpp's Statistics for one anchor per group of lanes.
// The lists of classes are short: every thread counts for itself.
template <class T> struct AnchorStatistics {
  AnchorStatistics(std::span<const Tensor> x, const GuidedContrastiveOptions& options)
      : t(x[0].data<T>()), mean(x[2].data<T>()), covariance(x[3].data<T>()), negative_mean(x[4].data<T>()),
        negative_covariance(x[5].data<T>()), classes(x[1].data<int32_t>()), ready(x[6].data<uint8_t>()),
        n(x[0].shape()[0]), D(x[0].shape()[1]), K(x[2].shape()[0]), stride(x[4].shape()[0] == 1 ? 0 : K),
        tau(options.tau), lambda(options.lambda), psi(options.psi) {}
  __device__ int64_t class_count() const {
    int64_t count = 0;
    for (int64_t k = 0; k < K; ++k) count += ready[k] != 0;
    return count;
  }
  __device__ bool has_class(int64_t a) const {
    return classes[a] >= 0 && classes[a] < K && ready[classes[a]];
  }
  // How many anchors take part: none with fewer than two classes.
  __device__ int64_t anchor_count() const {
    int64_t count = 0;
    for (int64_t a = 0; a < n; ++a) count += has_class(a);
    return class_count() < 2 ? 0 : count;
  }
  __device__ const T* mean_of(int64_t i, int64_t j) const {
    return i == j ? mean + i * D : negative_mean + (i * stride + j) * D;
  }
  __device__ const T* covariance_of(int64_t i, int64_t j) const {
    return i == j ? covariance + i * D * D : negative_covariance + (i * stride + j) * D * D;
  }
  // (S t)_d
  __device__ T product(const T* S, const T* ta, int64_t d) const {
    T sum = 0;
    for (int64_t e = 0; e < D; ++e) sum += S[d * D + e] * ta[e];
    return sum;
  }

  const T *t, *mean, *covariance, *negative_mean, *negative_covariance;
  const int32_t* classes;
  const uint8_t* ready;
  int64_t n, D, K, stride;
  double tau, lambda, psi;
};

template <class T> struct LossRow {
  AnchorStatistics<T> s;
  T* pi;
  double* losses;
  template <int kLanes> __device__ void operator()(int64_t a, cuda::Lanes<kLanes> lanes) const {
    T* p = pi + a * s.K;
    const int64_t anchors = s.anchor_count(), i = s.classes[a];
    if (anchors == 0 || !s.has_class(a)) {
      lanes.each(s.K, [&](int64_t j) { p[j] = 0; });
      if (lanes.lane == 0) losses[a] = 0;
      return;
    }
    const T* ta = s.t + a * s.D;
    const double weight = std::log(s.psi / double(s.class_count()));
    double top = -INFINITY, sum = 0, own = 0;
    for (int64_t j = 0; j < s.K; ++j) {
      if (!s.ready[j]) continue;
      const T *m = s.mean_of(i, j), *S = s.covariance_of(i, j);
      const double linear = lanes.total(s.D, [&](int64_t d) { return ta[d] * m[d]; });
      const double quadratic = lanes.total(s.D, [&](int64_t d) { return ta[d] * s.product(S, ta, d); });
      if (j == i) own = linear / s.tau;
      const double score = (linear + s.lambda / (2 * s.tau) * quadratic) / s.tau + (j == i ? 0 : weight);
      // Every lane holds the same score: a running log-sum-exp, and lane 0 keeps the score for pi.
      const double new_top = score > top ? score : top;
      sum = sum * std::exp(top - new_top) + std::exp(score - new_top);
      top = new_top;
      if (lanes.lane == 0) p[j] = T(score);
    }
    if (lanes.lane != 0) return;
    for (int64_t j = 0; j < s.K; ++j) p[j] = s.ready[j] ? T(std::exp(double(p[j]) - top) / sum) : T(0);
    losses[a] = (std::log(sum) + top - own) / double(anchors);
  }
};

template <class T> struct GradRow {
  AnchorStatistics<T> s;
  const T *pi, *dy;
  T* dt;
  bool accumulate;
  template <int kLanes> __device__ void operator()(int64_t a, cuda::Lanes<kLanes> lanes) const {
    const int64_t anchors = s.anchor_count(), i = s.classes[a];
    const bool takes_part = anchors > 0 && s.has_class(a);
    const T scale = takes_part ? T(double(dy[0]) / (s.tau * double(anchors))) : T(0);
    const T *ta = s.t + a * s.D, *p = pi + a * s.K;
    lanes.each(s.D, [&](int64_t d) {
      T sum = 0;
      if (takes_part) {
        sum = -s.mean_of(i, i)[d];
        for (int64_t j = 0; j < s.K; ++j)
          if (s.ready[j])
            sum +=
                p[j] * (s.mean_of(i, j)[d] + T(s.lambda / s.tau) * s.product(s.covariance_of(i, j), ta, d));
      }
      store(dt[a * s.D + d], scale * sum, accumulate);
    });
  }
};

template <class T> void launch_forward(const Forward& f, const GuidedContrastiveOptions& options) {
  const AnchorStatistics<T> s(f.x, options);
  auto* losses = static_cast<double*>(f.workspace.raw());
  cuda::for_each_row(s.n, s.D, LossRow<T>{s, f.aux[0].data<T>(), losses});
  cuda::add_up(losses, s.n, f.y.data<T>());
}

}  // namespace

void GuidedContrastive::forward_cuda(const Forward& f) const {
  dispatch(f.y.dtype(), [&](auto zero) { launch_forward<decltype(zero)>(f, options_); });
}

void GuidedContrastive::backward_cuda(const Backward& b) const {
  if (!b.dx[0]) return;
  dispatch(b.dy.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const AnchorStatistics<T> s(b.x, options_);
    cuda::for_each_row(
        s.n, s.D, GradRow<T>{s, b.aux[0].data<T>(), b.dy.data<T>(), b.dx[0].t.data<T>(), b.dx[0].accumulate});
  });
}

}  // namespace patchcl
