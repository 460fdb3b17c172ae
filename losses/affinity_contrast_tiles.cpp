#include "losses/affinity_contrast_tiles.h"

#include <algorithm>

#include "losses/dot.h"
#include "losses/exp_lines.h"
#include "losses/pixel_contrast.h"
#include "tensor/gemm.h"
#include "tensor/parallel.h"

namespace patchcl::affinity_tiles {

namespace {

constexpr int64_t kRows = 64, kColumns = 256;  // of a tile

// Those patches of one image that count, side by side.
template <class T> struct PackedSide {
  static int64_t room_for(int64_t n, int64_t D, int64_t K) { return n * (D + K + 4); }

  PackedSide(T* room, int64_t n, int64_t D, int64_t K)
      : line(n), features(room), phi(features + n * D), both(phi + n * K), log_sum(both + n),
        weight(log_sum + n), source(reinterpret_cast<int32_t*>(weight + n)) {}

  // Takes the patches of an image over whose valid is not 0; `stats` of rows, null for columns.
  void pack(const T* f, const T* of_phi, const T* valid, const double* stats, int64_t D, int64_t K) {
    for (int64_t i = 0; i < line; ++i) {
      if (valid[i] == 0) continue;
      std::copy_n(f + i * D, D, features + count * D);
      both[count] = 0;
      for (int64_t k = 0; k < K; ++k) {
        phi[k * line + count] = of_phi[i * K + k];
        both[count] += of_phi[i * K + k];
      }
      if (stats) {
        log_sum[count] = T(stats[2 * i]);
        weight[count] = T(stats[2 * i + 1]);
      }
      source[count++] = int32_t(i);
    }
  }

  int64_t count = 0, line;
  T *features, *phi, *both;  // (count,D); K lines; sums of phi
  T *log_sum, *weight;       // of rows
  int32_t* source;           // where a patch lies in its image
};

// Both sides of each image, and room for the tiles of each thread.
template <class T> struct Images {
  Images(std::span<const Tensor> x, const AffinityContrastOptions& options, const double* stats, void* room)
      : B(x[0].shape()[0]), n(x[0].shape()[1]), m(x[1].shape()[1]), D(x[0].shape()[2]), K(x[2].shape()[2]),
        o(options) {
    const int64_t of_rows = PackedSide<T>::room_for(n, D, K), of_columns = PackedSide<T>::room_for(m, D, K);
    T* at = static_cast<T*>(room);
    for (int64_t b = 0; b < B; ++b, at += of_rows + of_columns) {
      rows.emplace_back(at, n, D, K);
      columns.emplace_back(at + of_rows, m, D, K);
    }
    scratch = at;
    parallel_for(B, [&](int64_t b) {
      rows[size_t(b)].pack(x[0].data<T>() + b * n * D, x[2].data<T>() + b * n * K, x[4].data<T>() + b * n,
          stats + 2 * b * n, D, K);
      columns[size_t(b)].pack(
          x[1].data<T>() + b * m * D, x[3].data<T>() + b * m * K, x[5].data<T>() + b * m, nullptr, D, K);
    });
  }

  int64_t B, n, m, D, K;
  AffinityContrastOptions o;
  std::vector<PackedSide<T>> rows, columns;
  T* scratch;
};

// What one thread needs for a tile of patches of `side` against `others`.
template <class T> struct Tile {
  static int64_t room_for(int64_t D) { return kRows * (kColumns + D) + 3 * kColumns; }

  Tile(const Images<T>& images, const PackedSide<T>& of, const PackedSide<T>& to)
      : D(images.D), K(images.K), o(images.o), side(of), others(to),
        cosines(images.scratch + thread_index() * room_for(D)), df(cosines + kRows * kColumns),
        divergence(df + kRows * D), exponent(divergence + kColumns), pushed(exponent + kColumns) {}

  void multiply(int64_t row, int64_t height, int64_t column, int64_t width) const {
    gemm<T>(false, true, height, width, D, T(1), side.features + row * D, D, others.features + column * D, D,
        T(0), cosines, kColumns);
  }
  // Between patch i and the others from `column` on.
  void diverge(int64_t i, int64_t column, int64_t width) const {
    std::fill_n(divergence, width, T(0));
    for (int64_t c = 0; c < K; ++c) {
      const T shown = side.phi[c * side.line + i];
      const T* other = others.phi + c * others.line + column;
      for (int64_t k = 0; k < width; ++k) divergence[k] += std::fabs(shown - other[k]);
    }
    for (int64_t k = 0; k < width; ++k)
      divergence[k] = o.divergence(divergence[k], side.both[i] + others.both[column + k]);
  }
  AffinityPair<T> pair(T cosine, int64_t k) const { return {o, cosine, divergence[k]}; }

  int64_t D, K;
  const AffinityContrastOptions& o;
  const PackedSide<T>&side, &others;
  T *cosines, *df, *divergence, *exponent, *pushed;
};

template <class T>
void forward_rows(const Images<T>& images, int64_t b, int64_t row, double* stats, double* losses) {
  const AffinityContrastOptions& o = images.o;
  const Tile<T> t(images, images.rows[size_t(b)], images.columns[size_t(b)]);
  const int64_t height = std::min(kRows, t.side.count - row), m = t.others.count;
  if (m == 0) return;
  LogSum sums[kRows];
  double terms[kRows] = {};
  for (int64_t column = 0; column < m; column += kColumns) {
    const int64_t width = std::min(kColumns, m - column);
    t.multiply(row, height, column, width);
    for (int64_t i = 0; i < height; ++i) {
      T* line = t.cosines + i * kColumns;
      t.diverge(row + i, column, width);
      for (int64_t k = 0; k < width; ++k) {
        const AffinityPair<T> pair = t.pair(line[k], k);
        line[k] = pair.term(o.form);
        t.exponent[k] = pair.exponent();
      }
      terms[i] += double(sum_in_lanes<T>(width, [&](int64_t k) { return line[k]; }));
      if (o.form != AffinityForm::contrastive) continue;
      const T top = *std::max_element(t.exponent, t.exponent + width);
      sums[i].add({double(top), exp_sum(width, t.exponent, top)});
    }
  }
  for (int64_t i = 0; i < height; ++i) {
    const int64_t p = b * images.n + t.side.source[row + i];
    if (o.form == AffinityForm::contrastive) stats[2 * p] = sums[i].value();
    losses[p] = stats[2 * p + 1] * (terms[i] / double(m) + stats[2 * p]);
  }
}

// A line's cosines become dl/dcos. The rows, whose logarithms and weights these are, are the line's patch
// (step 0) or those along it (1).
template <class T> void slopes(const Tile<T>& t, T m, const ExpOperand<T>& log_sum,
    const ExpOperand<T>& weight, int64_t width, T* line) {
  std::fill_n(t.pushed, width, T(0));
  if (t.o.form == AffinityForm::contrastive) {
    const T one = 1;
    for (int64_t k = 0; k < width; ++k) t.exponent[k] = t.pair(line[k], k).exponent();
    add_exp(width, t.exponent, log_sum, {&one, 0}, 1, t.pushed);
  }
  for (int64_t k = 0; k < width; ++k) line[k] = weight[k] * t.pair(line[k], k).slope(t.o, m, t.pushed[k]);
}

// Adds the gradients of a tile of patches of one side.
template <class T>
void backward_rows(const Images<T>& images, int64_t b, int64_t row, bool of_columns, T dy, T* dx) {
  const PackedSide<T>&p = images.rows[size_t(b)], &q = images.columns[size_t(b)];
  const Tile<T> t(images, of_columns ? q : p, of_columns ? p : q);
  const int64_t height = std::min(kRows, t.side.count - row), others = t.others.count;
  std::fill_n(t.df, height * t.D, T(0));
  for (int64_t column = 0; column < others; column += kColumns) {
    const int64_t width = std::min(kColumns, others - column);
    t.multiply(row, height, column, width);
    for (int64_t i = 0; i < height; ++i) {
      const int64_t at = of_columns ? column : row + i, step = of_columns ? 1 : 0;
      t.diverge(row + i, column, width);
      slopes<T>(
          t, T(q.count), {p.log_sum + at, step}, {p.weight + at, step}, width, t.cosines + i * kColumns);
    }
    gemm<T>(false, false, height, t.D, width, dy, t.cosines, kColumns, t.others.features + column * t.D, t.D,
        T(1), t.df, t.D);
  }
  for (int64_t i = 0; i < height; ++i)
    add_scaled(T(1), t.df + i * t.D, dx + t.side.source[row + i] * t.D, t.D);
}

template <class T> void backward_side(const Images<T>& images, bool of_columns, T dy, const GradOut& to) {
  if (!to) return;
  const int64_t length = of_columns ? images.m : images.n, tiles = chunks(length, kRows);
  const auto& sides = of_columns ? images.columns : images.rows;
  if (!to.accumulate) fill_zero(to.t);
  parallel_for(images.B * tiles, [&](int64_t tile) {
    const int64_t b = tile / tiles, row = tile % tiles * kRows;
    if (row < sides[size_t(b)].count)
      backward_rows(images, b, row, of_columns, dy, to.t.data<T>() + b * length * images.D);
  });
}

}  // namespace

size_t workspace(const Shapes& x, DType dtype) {
  const int64_t B = x[0][0], D = x[0][2], K = x[2][2];
  const int64_t packed =
      B * (PackedSide<float>::room_for(x[0][1], D, K) + PackedSide<float>::room_for(x[1][1], D, K));
  return size_t(packed + threads() * Tile<float>::room_for(D)) * dtype_size(dtype);
}

template <class T> void forward(
    std::span<const Tensor> x, const AffinityContrastOptions& o, double* stats, double* losses, void* room) {
  const Images<T> images(x, o, stats, room);
  for (int64_t p = 0; p < images.B * images.n; ++p) losses[p] = stats[2 * p] = 0;
  const int64_t tiles = chunks(images.n, kRows);
  parallel_for(images.B * tiles, [&](int64_t tile) {
    const int64_t b = tile / tiles, row = tile % tiles * kRows;
    if (row < images.rows[size_t(b)].count) forward_rows(images, b, row, stats, losses);
  });
}

template <class T> void backward(const Backward& b, const AffinityContrastOptions& o, void* room) {
  const Images<T> images(b.x, o, b.aux[0].data<double>(), room);
  const T dy = b.dy.data<T>()[0];
  backward_side(images, false, dy, b.dx[0]);
  backward_side(images, true, dy, b.dx[1]);
}

template void forward<float>(
    std::span<const Tensor>, const AffinityContrastOptions&, double*, double*, void*);
template void forward<double>(
    std::span<const Tensor>, const AffinityContrastOptions&, double*, double*, void*);
template void backward<float>(const Backward&, const AffinityContrastOptions&, void*);
template void backward<double>(const Backward&, const AffinityContrastOptions&, void*);

}  // namespace patchcl::affinity_tiles
