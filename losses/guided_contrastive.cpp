#include "losses/guided_contrastive.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "losses/dot.h"
#include "tensor/parallel.h"

namespace patchcl {

Shape GuidedContrastive::shape(const Shapes& x) const {
  require(x.size() == 7, name(), "takes embeddings, classes and five statistics, got ", x.size());
  require(x[0].rank() == 2 && x[1] == Shape{x[0][0]}, name(), "embeddings ", x[0], " and classes ", x[1],
      " want (n,D) and (n)");
  const int64_t D = x[0][1], K = x[2][0], rows = x[4][0];
  require(x[2] == Shape{K, D} && x[3] == Shape{K, D, D} && x[6] == Shape{K}, name(), "means ", x[2],
      ", covariances ", x[3], ", ready ", x[6], " want (K,D), (K,D,D), (K) with D = ", D);
  require((rows == 1 || rows == K) && x[4] == Shape{rows, K, D} && x[5] == Shape{rows, K, D, D}, name(),
      "negatives ", x[4], " and ", x[5], " want (K,K,D) and (K,K,D,D), or 1 in place of the first K = ", K);
  return {1};
}

namespace {

// The inputs as the loops read them.
template <class T> struct Statistics {
  explicit Statistics(std::span<const Tensor> x)
      : classes(x[1].data<int32_t>()), ready(x[6].data<uint8_t>()), n(x[0].shape()[0]), D(x[0].shape()[1]),
        K(x[2].shape()[0]), mean_(x[2].data<T>()), covariance_(x[3].data<T>()),
        negative_mean_(x[4].data<T>()), negative_covariance_(x[5].data<T>()), shared_(x[4].shape()[0] == 1) {
    class_count = std::count_if(ready, ready + K, [](uint8_t r) { return r != 0; });
    if (class_count < 2) return;
    for (int64_t a = 0; a < n; ++a) anchor_count += has_class(a);
  }
  bool has_class(int64_t a) const { return classes[a] >= 0 && classes[a] < K && ready[classes[a]]; }
  bool takes_part(int64_t a) const { return anchor_count > 0 && has_class(a); }
  // Class j as seen from class i.
  const T* mean(int64_t i, int64_t j) const { return i == j ? mean_ + i * D : negative_mean_ + at(i, j) * D; }
  const T* covariance(int64_t i, int64_t j) const {
    return i == j ? covariance_ + i * D * D : negative_covariance_ + at(i, j) * D * D;
  }
  // tau s_ij(t) = <t,m> + lambda/(2 tau) t^T S t
  T score(const T* t, int64_t i, int64_t j, T half_lambda_over_tau) const {
    const T* S = covariance(i, j);
    T quadratic = 0;
    for (int64_t d = 0; d < D; ++d) quadratic += t[d] * dot(S + d * D, t, D);
    return dot(t, mean(i, j), D) + half_lambda_over_tau * quadratic;
  }

  const int32_t* classes;
  const uint8_t* ready;
  int64_t n, D, K, class_count = 0, anchor_count = 0;

 private:
  int64_t at(int64_t i, int64_t j) const { return (shared_ ? 0 : i * K) + j; }
  const T *mean_, *covariance_, *negative_mean_, *negative_covariance_;
  bool shared_;
};

}  // namespace

// One loop is both the reference and the fast kernel. One anchor per iteration.
void GuidedContrastive::forward_cpu(const Forward& f) const {
  dispatch(f.y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const Statistics<T> s(f.x);
    const auto [tau, lambda, psi] = options_;
    const T* t = f.x[0].data<T>();
    T* pi = f.aux[0].data<T>();
    const double weight = std::log(psi / double(std::max<int64_t>(s.class_count, 1)));
    double* losses = reinterpret_cast<double*>(f.workspace.data<uint8_t>());
    parallel_for(s.n, [&](int64_t a) {
      T* p = pi + a * s.K;
      std::fill(p, p + s.K, T(0));
      losses[a] = 0;
      if (!s.takes_part(a)) return;
      const T* ta = t + a * s.D;
      const int64_t i = s.classes[a];
      T top = T(-INFINITY);
      for (int64_t j = 0; j < s.K; ++j) {
        if (!s.ready[j]) continue;
        p[j] = T((s.score(ta, i, j, T(lambda / (2 * tau))) / tau) +
                 (j == i ? 0 : weight));  // EQ: 1.7 a_i and d_ij
        top = std::max(top, p[j]);
      }
      double sum = 0;
      for (int64_t j = 0; j < s.K; ++j)
        if (s.ready[j]) sum += double(p[j] = std::exp(p[j] - top));
      for (int64_t j = 0; j < s.K; ++j) p[j] = T(double(p[j]) / sum);
      losses[a] = std::log(sum) + double(top) - double(dot(ta, s.mean(i, i), s.D)) / tau;  // EQ: 1.7 L_plg
    });
    f.y.data<T>()[0] =
        T(std::accumulate(losses, losses + s.n, 0.) / double(std::max<int64_t>(s.anchor_count, 1)));
  });
}

void GuidedContrastive::backward_cpu(const Backward& b) const {
  if (!b.dx[0]) return;
  dispatch(b.dy.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const Statistics<T> s(b.x);
    const auto [tau, lambda, psi] = options_;
    const T *t = b.x[0].data<T>(), *pi = b.aux[0].data<T>();
    const T scale = T(double(b.dy.data<T>()[0]) / (tau * double(std::max<int64_t>(s.anchor_count, 1))));
    parallel_for(s.n, [&](int64_t a) {
      T* dt = b.dx[0].t.data<T>() + a * s.D;
      if (!b.dx[0].accumulate) std::fill(dt, dt + s.D, T(0));
      if (!s.takes_part(a)) return;
      const T *ta = t + a * s.D, *p = pi + a * s.K;
      const int64_t i = s.classes[a];
      add_scaled(-scale, s.mean(i, i), dt, s.D);
      for (int64_t j = 0; j < s.K; ++j) {
        if (!s.ready[j]) continue;
        const T *m = s.mean(i, j), *S = s.covariance(i, j), g = scale * p[j];
        for (int64_t d = 0; d < s.D; ++d)
          dt[d] += g * (m[d] + T(lambda / tau) * dot(S + d * s.D, ta, s.D));  // EQ: 1.7 dL/dt
      }
    });
  });
}

Var guided_contrastive(const Var& embeddings, const Var& classes, const ClassStatistics& s,
    const GuidedContrastiveOptions& options, Loc loc) {
  return embeddings.tape().apply(std::make_shared<GuidedContrastive>(options),
      {embeddings, classes, s.mean, s.covariance, s.negative_mean, s.negative_covariance, s.ready}, loc);
}

}  // namespace patchcl
