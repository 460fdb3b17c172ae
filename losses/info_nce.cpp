#include "losses/info_nce.h"

#include <algorithm>
#include <cmath>

#include "losses/dot.h"
#include "tensor/parallel.h"

namespace patchcl {

Shape InfoNce::shape(const Shapes& x) const {
  require(
      x.size() == 5, name(), "takes anchors, positives, negatives and two lists of classes, got ", x.size());
  require(x[0].rank() == 2 && x[1] == x[0] && x[2].rank() == 2 && x[2][1] == x[0][1], name(), "anchors ",
      x[0], ", positives ", x[1], ", negatives ", x[2], " want shapes (n,D), (n,D), (m,D)");
  require(x[3] == Shape{x[0][0]} && x[4] == Shape{x[2][0]}, name(), "classes ", x[3], " and ", x[4], " for ",
      x[0][0], " anchors and ", x[2][0], " negatives");
  return {1};
}

namespace {
bool is_negative(int32_t anchor, int32_t negative) { return negative >= 0 && negative != anchor; }
}  // namespace

// One loop is both the reference and the fast kernel. One anchor per iteration.
void InfoNce::forward_cpu(const Forward& f) const {
  dispatch(f.y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const int64_t n = f.x[0].shape()[0], m = f.x[2].shape()[0], D = f.x[0].shape()[1];
    const T *q = f.x[0].data<T>(), *k = f.x[1].data<T>(), *negatives = f.x[2].data<T>();
    const int32_t *anchor_class = f.x[3].data<int32_t>(), *negative_class = f.x[4].data<int32_t>();
    T* dz = f.aux[0].data<T>();
    const double anchors = std::max<double>(1, double(n - std::count(anchor_class, anchor_class + n, -1)));
    const int64_t first = denominator_ == Denominator::all ? 0 : 1;
    double loss = 0;
    for (int64_t i = 0; i < n; ++i) {
      T* z = dz + i * (m + 1);
      const auto no_part = [&] { std::fill(z, z + m + 1, T(0)); };
      if (anchor_class[i] < 0) {
        no_part();
        continue;
      }
      const T* qi = q + i * D;
      z[0] = dot(qi, k + i * D, D) / T(tau_);
      const T positive = z[0];
      parallel_chunks(
          m,
          [&](int64_t begin, int64_t end) {
            for (int64_t j = begin; j < end; ++j)
              z[j + 1] = is_negative(anchor_class[i], negative_class[j])
                             ? dot(qi, negatives + j * D, D) / T(tau_)
                             : T(-INFINITY);
          },
          /*chunk=*/512);
      const T top = first > m ? T(-INFINITY) : *std::max_element(z + first, z + m + 1);
      if (top == T(-INFINITY)) {
        no_part();
        continue;
      }
      double sum = 0;
      for (int64_t j = 0; j <= m; ++j) sum += double(z[j] = j < first ? T(0) : std::exp(z[j] - top));
      loss += std::log(sum) + double(top - positive);  // EQ: 1.11 InfoNCE
      for (int64_t j = 0; j <= m; ++j)
        z[j] = T((double(z[j]) / sum - (j == 0)) / anchors);  // EQ: 1.11 InfoNCE, dL/dz
    }
    f.y.data<T>()[0] = T(loss / anchors);
  });
}

void InfoNce::backward_cpu(const Backward& b) const {
  dispatch(b.dy.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const int64_t n = b.x[0].shape()[0], m = b.x[2].shape()[0], D = b.x[0].shape()[1];
    const T *q = b.x[0].data<T>(), *k = b.x[1].data<T>(), *negatives = b.x[2].data<T>(),
            *dz = b.aux[0].data<T>();
    const T scale = b.dy.data<T>()[0] / T(tau_);
    const auto row = [D](const GradOut& g, int64_t i) {
      T* d = g.t.data<T>() + i * D;
      if (!g.accumulate) std::fill(d, d + D, T(0));
      return d;
    };
    parallel_for(n, [&](int64_t i) {
      const T* g = dz + i * (m + 1);
      if (b.dx[0]) {
        T* dq = row(b.dx[0], i);
        add_scaled(scale * g[0], k + i * D, dq, D);
        for (int64_t j = 0; j < m; ++j)
          if (g[j + 1] != 0) add_scaled(scale * g[j + 1], negatives + j * D, dq, D);
      }
      if (b.dx[1]) add_scaled(scale * g[0], q + i * D, row(b.dx[1], i), D);
    });
    if (!b.dx[2]) return;
    parallel_for(m, [&](int64_t j) {
      T* dn = row(b.dx[2], j);
      for (int64_t i = 0; i < n; ++i) add_scaled(scale * dz[i * (m + 1) + j + 1], q + i * D, dn, D);
    });
  });
}

Var info_nce(const Var& anchors, const Var& positives, const Var& negatives, const Var& anchor_class,
    const Var& negative_class, double tau, Denominator denominator, Loc loc) {
  return anchors.tape().apply(std::make_shared<InfoNce>(tau, denominator),
      {anchors, positives, negatives, anchor_class, negative_class}, loc);
}

}  // namespace patchcl
