#include "losses/affinity_contrast.h"

#include <algorithm>

#include "losses/affinity_contrast_tiles.h"
#include "losses/dot.h"
#include "losses/pixel_contrast.h"
#include "tensor/cuda.h"
#include "tensor/device.h"
#include "tensor/parallel.h"

namespace patchcl {

Shape AffinityContrast::shape(const Shapes& x) const {
  const bool fit = x.size() == 6 && x[0].rank() == 3 && x[1].rank() == 3 && x[0][0] == x[1][0] &&
                   x[0][2] == x[1][2] && x[2].rank() == 3 && x[3].rank() == 3 && x[2][2] == x[3][2] &&
                   x[2][0] == x[0][0] && x[2][1] == x[0][1] && x[3][0] == x[1][0] && x[3][1] == x[1][1] &&
                   x[4] == Shape{x[0][0], x[0][1]} && x[5] == Shape{x[1][0], x[1][1]};
  require(fit, name(),
      "wants features (B,n,D) and (B,m,D), phi (B,n,K) and (B,m,K), valid (B,n) and (B,m), got ", x.at(0),
      ", ", x.at(1), ", ", x.at(2), ", ", x.at(3), ", ", x.at(4), " and ", x.at(5));
  return {1};
}

// The loss of each row; behind them the tiles, or on the GPU a reduction's partial sums.
size_t AffinityContrast::workspace(const Shapes& x, DType dtype, Device device) const {
  const size_t rows = size_t(x[0][0] * x[0][1]) * sizeof(double);
  return rows + (device == Device::cuda ? cuda::kReduceBytes : affinity_tiles::workspace(x, dtype));
}

namespace {

template <class T> struct Rows {
  Rows(std::span<const Tensor> x, const Tensor& stats, const AffinityContrastOptions& options)
      : B(x[0].shape()[0]), n(x[0].shape()[1]), m(x[1].shape()[1]), D(x[0].shape()[2]), K(x[2].shape()[2]),
        f(x[0].data<T>()), g(x[1].data<T>()), phi_f(x[2].data<T>()), phi_g(x[3].data<T>()),
        valid_f(x[4].data<T>()), valid_g(x[5].data<T>()), stats(stats.data<double>()), o(options) {}

  // Row p of image p / n and column q of the same image.
  AffinityPair<double> pair(int64_t p, int64_t q) const {
    const double cosine = double(dot(f + p * D, g + q * D, D));
    return {o, cosine, o.divergence(phi_f + p * K, phi_g + q * K, K)};
  }
  int64_t columns(int64_t p) const { return p / n * m; }  // where those of row p begin
  int64_t rows(int64_t q) const { return q / m * n; }
  static int64_t count(const T* valid, int64_t begin, int64_t length) {
    int64_t total = 0;
    for (int64_t i = begin; i < begin + length; ++i) total += valid[i] != 0;
    return total;
  }
  double columns_left(int64_t p) const { return double(count(valid_g, columns(p), m)); }
  // w_p of each row.
  void weigh() const {
    int64_t images = 0;
    for (int64_t b = 0; b < B; ++b) {
      const int64_t left = count(valid_f, b * n, n);
      const bool counts = left > 0 && count(valid_g, b * m, m) > 0;
      images += counts;
      for (int64_t p = b * n; p < (b + 1) * n; ++p)
        stats[2 * p + 1] = counts && valid_f[p] != 0 ? 1 / double(left) : 0;
    }
    for (int64_t p = 0; p < B * n; ++p) stats[2 * p + 1] /= double(images > 0 ? images : 1);
  }
  // w_p l_p
  double row(int64_t p) const {
    const double weight = stats[2 * p + 1];
    stats[2 * p] = 0;
    if (weight == 0) return 0;
    LogSum pushed;
    double total = 0;
    for (int64_t q = columns(p); q < columns(p) + m; ++q) {
      if (valid_g[q] == 0) continue;
      const AffinityPair<double> s = pair(p, q);
      total += s.term(o.form);
      if (o.form == AffinityForm::contrastive) pushed.add(s.exponent());
    }
    total /= columns_left(p);
    if (o.form != AffinityForm::contrastive) return weight * total;
    stats[2 * p] = pushed.value();
    return weight * (total + pushed.value());  // EQ: 3.2 patch dragsaw contrast
  }
  // dL/dcos_pq over dL
  T slope(int64_t p, int64_t q, double left) const {
    if (stats[2 * p + 1] == 0 || valid_g[q] == 0) return 0;
    const AffinityPair<double> s = pair(p, q);
    return T(stats[2 * p + 1] * s.slope(o, left, std::exp(s.exponent() - stats[2 * p])));
  }

  int64_t B, n, m, D, K;
  const T *f, *g, *phi_f, *phi_g, *valid_f, *valid_g;
  double* stats;  // log sum and weight of each row
  AffinityContrastOptions o;
};

// d_i += sum over the others of slope(i, other) times the other's features.
template <class T, class Slope>
void add_gradients(const GradOut& to, int64_t count, int64_t D, T dy, const T* others, Slope slope_of) {
  if (!to) return;
  parallel_for(count, [&](int64_t i) {
    T* d = to.t.data<T>() + i * D;
    if (!to.accumulate) std::fill_n(d, D, T(0));
    slope_of(i, [&](int64_t k, T slope) {
      if (slope != 0) add_scaled(T(dy * slope), others + k * D, d, D);
    });
  });
}

}  // namespace

void AffinityContrast::forward_cpu(const Forward& f) const {
  dispatch(f.y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const Rows<T> rows(f.x, f.aux[0], options_);
    auto* losses = static_cast<double*>(f.workspace.raw());
    rows.weigh();
    if (kernels() == Kernels::naive)
      parallel_for(rows.B * rows.n, [&](int64_t p) { losses[p] = rows.row(p); });
    else affinity_tiles::forward<T>(f.x, options_, rows.stats, losses, losses + rows.B * rows.n);
    double total = 0;
    for (int64_t p = 0; p < rows.B * rows.n; ++p) total += losses[p];
    f.y.data<T>()[0] = T(total);
  });
}

void AffinityContrast::backward_cpu(const Backward& b) const {
  dispatch(b.dy.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const Rows<T> rows(b.x, b.aux[0], options_);
    if (kernels() != Kernels::naive)
      return affinity_tiles::backward<T>(
          b, options_, static_cast<double*>(b.workspace.raw()) + rows.B * rows.n);
    const T dy = b.dy.data<T>()[0];
    add_gradients<T>(b.dx[0], rows.B * rows.n, rows.D, dy, rows.g, [&](int64_t p, auto add) {
      const double left = rows.columns_left(p);
      for (int64_t q = rows.columns(p); q < rows.columns(p) + rows.m; ++q) add(q, rows.slope(p, q, left));
    });
    add_gradients<T>(b.dx[1], rows.B * rows.m, rows.D, dy, rows.f, [&](int64_t q, auto add) {
      const double left = rows.columns_left(rows.rows(q));
      for (int64_t p = rows.rows(q); p < rows.rows(q) + rows.n; ++p) add(p, rows.slope(p, q, left));
    });
  });
}

Var affinity_contrast(
    const AffinityFeatures& p, const AffinityFeatures& q, const AffinityContrastOptions& options, Loc loc) {
  return p.features.tape().apply(std::make_shared<AffinityContrast>(options),
      {p.features, q.features, p.phi, q.phi, p.valid, q.valid}, loc);
}

}  // namespace patchcl
