#include "losses/pixel_contrast.h"

#include <algorithm>
#include <numeric>

#include "losses/exp_lines.h"
#include "tensor/cuda.h"
#include "tensor/device.h"
#include "tensor/gemm.h"
#include "tensor/parallel.h"

namespace patchcl {

Shape PixelContrast::shape(const Shapes& x) const {
  require(x.size() == 2 && x[0].rank() == 3 && x[1] == Shape{x[0][0], x[0][1]}, name(),
      "wants vectors (G,m,D) and labels (G,m), got ", x.at(0), " and ", x.at(1));
  return {1};
}

namespace {

constexpr int64_t kRows = 64, kColumns = 512;  // of a tile

// Of one sorted vector: where it lies in its group, and the run of its label.
struct SortedVector {
  int32_t source, begin, end;
  int64_t positives() const { return end - begin - 1; }
};

// The groups with their vectors sorted by label, the background last: then P(i) and N(i) are ranges.
template <class T> struct SortedGroups {
  SortedGroups(std::span<const Tensor> x, std::span<const Tensor> aux, const Tensor& workspace)
      : groups(x[0].shape()[0]), m(x[0].shape()[1]), D(x[0].shape()[2]), f(x[0].data<T>()),
        labels(x[1].data<int32_t>()), place(reinterpret_cast<SortedVector*>(aux[0].data<int32_t>())),
        all(aux[1].data<T>()), pull(all + groups * m), weight(pull + groups * m),
        losses(static_cast<double*>(workspace.raw())), sorted(reinterpret_cast<T*>(losses + groups * m)),
        scratch(sorted + groups * m * D) {}

  int64_t tiles() const { return chunks(m, kRows); }
  int64_t foreground(int64_t g) const { return m - std::count(labels + g * m, labels + (g + 1) * m, 0); }
  // Room of the calling thread for a tile of s, one of dL/ds, and kRows vectors.
  T* own_scratch() const { return scratch + thread_index() * kRows * (2 * kColumns + D); }

  void sort(int64_t g) const {
    const int32_t* label = labels + g * m;
    SortedVector* p = place + g * m;
    for (int64_t i = 0; i < m; ++i) p[i].source = int32_t(i);
    const auto later = [label](const SortedVector& a, const SortedVector& b) {
      return uint32_t(label[a.source]) - 1 < uint32_t(label[b.source]) - 1;  // 0 becomes the largest
    };
    std::stable_sort(p, p + m, later);
    for (int64_t begin = 0, end; begin < m; begin = end) {
      for (end = begin; end < m && label[p[end].source] == label[p[begin].source]; ++end) {}
      for (int64_t i = begin; i < end; ++i) p[i].begin = int32_t(begin), p[i].end = int32_t(end);
    }
  }
  void gather(int64_t g) const {
    for (int64_t i = g * m; i < (g + 1) * m; ++i)
      std::copy_n(f + (g * m + place[i].source) * D, D, sorted + i * D);
  }
  // Of a vector in the foreground.
  static bool is_anchor(const SortedVector& p, int64_t m) { return p.positives() > 0 && p.end - p.begin < m; }

  // s of rows x columns of group g, in lines of kColumns.
  void similarities(
      int64_t g, int64_t row, int64_t rows, int64_t column, int64_t columns, double tau, T* s) const {
    const T* group = sorted + g * m * D;
    gemm<T>(false, true, rows, columns, D, T(1 / tau), group + row * D, D, group + column * D, D, T(0), s,
        kColumns);
  }

  int64_t groups, m, D;
  const T* f;
  const int32_t* labels;
  SortedVector* place;
  T *all, *pull, *weight;  // the members of AnchorStats
  double* losses;
  T *sorted, *scratch;
};

// fn(begin, end, positive) for the runs of columns [from, to) that are all in P(i) or all in N(i).
template <class F> void for_each_run(const SortedVector& p, int64_t i, int64_t from, int64_t to, F fn) {
  const auto part = [&](int64_t begin, int64_t end, bool positive) {
    begin = std::max(begin, from);
    end = std::min(end, to);
    if (begin < end) fn(begin, end, positive);
  };
  part(from, p.begin, false);
  part(p.begin, i, true);
  part(i + 1, p.end, true);
  part(p.end, to, false);
}

template <class T> void add_run(const T* s, int64_t n, bool positive, AnchorSums& sums) {
  LogSum& sum = positive ? sums.positives : sums.negatives;
  const T top = *std::max_element(s, s + n);
  sum.add({double(top), exp_sum(n, s, top)});
  if (!positive) return;
  for (int64_t k = 0; k < n; ++k) sums.similarity += double(s[k]);
}

// The share of an anchor's l_i in L, 1 / (groups with anchors * anchors of the group), for each group.
template <class T> std::vector<double> shares(const SortedGroups<T>& c) {
  std::vector<double> share(size_t(c.groups), 0);
  parallel_for(c.groups, [&](int64_t g) {
    c.sort(g);
    c.gather(g);
    const SortedVector* p = c.place + g * c.m;
    const auto is_anchor = [&](const SortedVector& at) { return c.is_anchor(at, c.m); };
    const int64_t anchors = std::count_if(p, p + c.foreground(g), is_anchor);
    if (anchors > 0) share[size_t(g)] = 1 / double(anchors);
  });
  const double active = double(c.groups - std::count(share.begin(), share.end(), 0.));
  for (double& s : share) s /= std::max(1., active);
  return share;
}

// l_i and what backward needs, for one tile of rows.
template <class T> void forward_rows(
    const SortedGroups<T>& c, const PixelContrastOptions& o, int64_t g, int64_t row, double share) {
  const int64_t rows = std::min(kRows, c.m - row), foreground = c.foreground(g), at = g * c.m + row;
  std::fill_n(c.losses + at, rows, 0.);
  std::fill_n(c.all + at, rows, T(INFINITY));
  std::fill_n(c.pull + at, rows, T(INFINITY));
  std::fill_n(c.weight + at, rows, T(0));
  const int64_t anchors = std::min(rows, foreground - row);
  if (anchors <= 0 || share == 0) return;
  AnchorSums sums[kRows];
  T* s = c.own_scratch();
  for (int64_t column = 0; column < c.m; column += kColumns) {
    const int64_t columns = std::min(kColumns, c.m - column);
    c.similarities(g, row, anchors, column, columns, o.tau, s);
    for (int64_t i = 0; i < anchors; ++i)
      for_each_run(
          c.place[at + i], row + i, column, column + columns, [&](int64_t begin, int64_t end, bool positive) {
            add_run(s + i * kColumns + begin - column, end - begin, positive, sums[i]);
          });
  }
  for (int64_t i = 0; i < anchors; ++i) {
    const SortedVector& p = c.place[at + i];
    if (!c.is_anchor(p, c.m)) continue;
    AnchorStats<T> stats;
    c.losses[at + i] = sums[i].finish(o, p.positives(), share, stats);
    c.all[at + i] = stats.all;
    c.pull[at + i] = stats.positives;
    c.weight[at + i] = stats.weight;
  }
}

// h += dL/ds of a run of n similarities, all in P (of `count` vectors) or all in N; the anchors are one
// vector (step 0), or those of the run (1), from place `anchor` on.
template <class T> void add_slope(const SortedGroups<T>& c, const PixelContrastOptions& o, int64_t n,
    const T* s, int64_t anchor, int64_t step, bool positive, int64_t count, T* h) {
  const ExpOperand<T> all{c.all + anchor, step}, pull{c.pull + anchor, step}, weight{c.weight + anchor, step};
  if (!positive || o.denominator == ContrastDenominator::all)
    add_exp(n, s, all, weight, 1, h);  // EQ: 2.3 local contrast, dL/ds
  if (!positive) return;
  if (o.form == ContrastForm::paper) add_exp(n, s, pull, weight, -1, h);
  else
    for (int64_t k = 0; k < n; ++k) h[k] -= weight[k] / T(count);
}

// df of one tile of rows: sum over columns of (dL/ds_ik + dL/ds_ki) f_k, scaled.
template <class T> void backward_rows(const SortedGroups<T>& c, const PixelContrastOptions& o, int64_t g,
    int64_t row, T scale, const GradOut& out) {
  const int64_t rows = std::min(kRows, c.m - row), foreground = c.foreground(g), at = g * c.m + row;
  T *s = c.own_scratch(), *h = s + kRows * kColumns, *df = h + kRows * kColumns;
  std::fill_n(df, rows * c.D, T(0));
  // Two vectors of the background have no part in each other's gradient.
  const int64_t candidates = row < foreground ? c.m : foreground;
  for (int64_t column = 0; column < candidates; column += kColumns) {
    const int64_t columns = std::min(kColumns, candidates - column);
    c.similarities(g, row, rows, column, columns, o.tau, s);
    for (int64_t i = 0; i < rows; ++i) {
      const SortedVector& p = c.place[at + i];
      const T* line = s + i * kColumns - column;
      T* slope = h + i * kColumns - column;
      std::fill_n(slope + column, columns, T(0));
      const auto add = [&](int64_t begin, int64_t end, bool positive) {
        if (c.weight[at + i] != 0)
          add_slope(c, o, end - begin, line + begin, at + i, 0, positive, p.positives(), slope + begin);
        const int64_t anchors = std::min(end, foreground) - begin;
        if (anchors > 0)
          add_slope(c, o, anchors, line + begin, g * c.m + begin, 1, positive, p.positives(), slope + begin);
      };
      for_each_run(p, row + i, column, column + columns, add);
    }
    gemm<T>(false, false, rows, c.D, columns, T(1), h, kColumns, c.sorted + (g * c.m + column) * c.D, c.D,
        T(1), df, c.D);
  }
  for (int64_t i = 0; i < rows; ++i) {
    T* dx = out.t.data<T>() + (g * c.m + c.place[at + i].source) * c.D;
    for (int64_t d = 0; d < c.D; ++d) store(dx[d], scale * df[i * c.D + d], out.accumulate);
  }
}

}  // namespace

size_t PixelContrast::workspace(const Shapes& x, DType dtype, Device device) const {
  const size_t vectors = size_t(x[1].numel()), D = size_t(x[0][2]);
  if (device == Device::cuda) return (size_t(x[0][0]) + vectors) * sizeof(double) + cuda::kReduceBytes;
  return vectors * sizeof(double) +
         (vectors * D + size_t(threads()) * kRows * (2 * kColumns + D)) * dtype_size(dtype);
}

void PixelContrast::forward_cpu(const Forward& f) const {
  dispatch(f.y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const SortedGroups<T> c(f.x, f.aux, f.workspace);
    const std::vector<double> share = shares(c);
    parallel_for(c.groups * c.tiles(), [&](int64_t tile) {
      const int64_t g = tile / c.tiles();
      forward_rows(c, options_, g, tile % c.tiles() * kRows, share[size_t(g)]);
    });
    f.y.data<T>()[0] = T(std::accumulate(c.losses, c.losses + c.groups * c.m, 0.));
  });
}

void PixelContrast::backward_cpu(const Backward& b) const {
  if (!b.dx[0]) return;
  dispatch(b.dy.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const SortedGroups<T> c(b.x, b.aux, b.workspace);
    const T scale = b.dy.data<T>()[0] / T(options_.tau);
    parallel_for(c.groups, [&](int64_t g) { c.gather(g); });
    parallel_for(c.groups * c.tiles(), [&](int64_t tile) {
      backward_rows(c, options_, tile / c.tiles(), tile % c.tiles() * kRows, scale, b.dx[0]);
    });
  });
}

Var pixel_contrast(const Var& f, const Var& labels, const PixelContrastOptions& options, Loc loc) {
  return f.tape().apply(std::make_shared<PixelContrast>(options), {f, labels}, loc);
}

}  // namespace patchcl
