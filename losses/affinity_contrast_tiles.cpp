#include "losses/affinity_contrast_tiles.h"

#include <algorithm>
#include <numeric>

#include "losses/dot.h"
#include "losses/exp_lines.h"
#include "losses/pixel_contrast.h"
#include "tensor/gemm.h"
#include "tensor/parallel.h"

namespace patchcl::affinity_tiles {

namespace {

constexpr int64_t kRows = 32, kColumns = 128;  // of a tile

// The patches of one image, and which of them count.
template <class T> struct ImagePatches {
  const T *features, *phi;  // (n,D), (n,K)
  const double* stats;      // of rows, null for columns
  int32_t* source;          // the place of each that counts
  int64_t count = 0;

  void list(const T* valid, int64_t n) {
    for (int64_t i = 0; i < n; ++i)
      if (valid[i] != 0) source[count++] = int32_t(i);
  }
  T log_sum(int64_t i) const { return T(stats[2 * source[i]]); }
  T weight(int64_t i) const { return T(stats[2 * source[i] + 1]); }
};

// Both sides of each image, and room for the tiles of each thread.
template <class T> struct Images {
  Images(std::span<const Tensor> x, const AffinityContrastOptions& options, const double* stats, void* room)
      : B(x[0].shape()[0]), n(x[0].shape()[1]), m(x[1].shape()[1]), D(x[0].shape()[2]), K(x[2].shape()[2]),
        o(options) {
    int32_t* at = static_cast<int32_t*>(room);
    for (int64_t b = 0; b < B; ++b, at += n + m) {
      rows.push_back({x[0].data<T>() + b * n * D, x[2].data<T>() + b * n * K, stats + 2 * b * n, at});
      columns.push_back({x[1].data<T>() + b * m * D, x[3].data<T>() + b * m * K, nullptr, at + n});
      rows.back().list(x[4].data<T>() + b * n, n);
      columns.back().list(x[5].data<T>() + b * m, m);
    }
    scratch = reinterpret_cast<T*>(static_cast<char*>(room) + index_bytes(B, n, m));
  }
  static size_t index_bytes(int64_t B, int64_t n, int64_t m) {
    return size_t((B * (n + m) + 1) / 2) * sizeof(double);  // what follows is aligned
  }

  int64_t B, n, m, D, K;
  AffinityContrastOptions o;
  std::vector<ImagePatches<T>> rows, columns;
  T* scratch;
};

// What one thread needs for a tile of patches of `side` against `others`, both copied side by side.
template <class T> struct Tile {
  static int64_t room_for(int64_t D, int64_t K) {
    return kRows * (kColumns + 2 * D) + kColumns * (D + K + 6);
  }

  Tile(const Images<T>& images, const ImagePatches<T>& of, const ImagePatches<T>& to)
      : D(images.D), K(images.K), o(images.o), side(of), others(to),
        cosines(images.scratch + thread_index() * room_for(D, K)), df(cosines + kRows * kColumns),
        f(df + kRows * D), g(f + kRows * D), phi(g + kColumns * D), both(phi + kColumns * K),
        log_sum(both + kColumns), weight(log_sum + kColumns), divergence(weight + kColumns),
        exponent(divergence + kColumns), pushed(exponent + kColumns) {}

  void take_rows(int64_t row, int64_t height) const { copy(side, row, height, f); }
  // The others from `column` on; phi is turned, so that those of a class are contiguous.
  void multiply(int64_t height, int64_t column, int64_t width) const {
    copy(others, column, width, g);
    for (int64_t k = 0; k < width; ++k) {
      const T* shown = others.phi + others.source[column + k] * K;
      both[k] = std::accumulate(shown, shown + K, T(0));
      for (int64_t c = 0; c < K; ++c) phi[c * kColumns + k] = shown[c];
      if (!others.stats) continue;
      log_sum[k] = others.log_sum(column + k);
      weight[k] = others.weight(column + k);
    }
    gemm<T>(false, true, height, width, D, T(1), f, D, g, D, T(0), cosines, kColumns);
  }
  // Between patch i and the others that were multiplied.
  void diverge(int64_t i, int64_t width) const {
    const T* shown = side.phi + side.source[i] * K;
    const T sum = std::accumulate(shown, shown + K, T(0));
    std::fill_n(divergence, width, T(0));
    for (int64_t c = 0; c < K; ++c)
      for (int64_t k = 0; k < width; ++k) divergence[k] += std::fabs(shown[c] - phi[c * kColumns + k]);
    for (int64_t k = 0; k < width; ++k) divergence[k] = o.divergence(divergence[k], sum + both[k]);
  }
  AffinityPair<T> pair(T cosine, int64_t k) const { return {o, cosine, divergence[k]}; }

  int64_t D, K;
  const AffinityContrastOptions& o;
  const ImagePatches<T>&side, &others;
  T *cosines, *df, *f, *g, *phi, *both, *log_sum, *weight, *divergence, *exponent, *pushed;

 private:
  void copy(const ImagePatches<T>& from, int64_t first, int64_t length, T* to) const {
    for (int64_t i = 0; i < length; ++i)
      std::copy_n(from.features + from.source[first + i] * D, D, to + i * D);
  }
};

template <class T>
void forward_rows(const Images<T>& images, int64_t b, int64_t row, double* stats, double* losses) {
  const AffinityContrastOptions& o = images.o;
  const Tile<T> t(images, images.rows[size_t(b)], images.columns[size_t(b)]);
  const int64_t height = std::min(kRows, t.side.count - row), m = t.others.count;
  if (m == 0) return;
  t.take_rows(row, height);
  LogSum sums[kRows];
  double terms[kRows] = {};
  for (int64_t column = 0; column < m; column += kColumns) {
    const int64_t width = std::min(kColumns, m - column);
    t.multiply(height, column, width);
    for (int64_t i = 0; i < height; ++i) {
      T* line = t.cosines + i * kColumns;
      t.diverge(row + i, width);
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
  const ImagePatches<T>&p = images.rows[size_t(b)], &q = images.columns[size_t(b)];
  const Tile<T> t(images, of_columns ? q : p, of_columns ? p : q);
  const int64_t height = std::min(kRows, t.side.count - row), others = t.others.count;
  std::fill_n(t.df, height * t.D, T(0));
  t.take_rows(row, height);
  for (int64_t column = 0; column < others; column += kColumns) {
    const int64_t width = std::min(kColumns, others - column);
    t.multiply(height, column, width);
    for (int64_t i = 0; i < height; ++i) {
      T* line = t.cosines + i * kColumns;
      t.diverge(row + i, width);
      if (of_columns) {
        slopes<T>(t, T(q.count), {t.log_sum, 1}, {t.weight, 1}, width, line);
      } else {
        const T log_sum = p.log_sum(row + i), weight = p.weight(row + i);
        slopes<T>(t, T(q.count), {&log_sum, 0}, {&weight, 0}, width, line);
      }
    }
    gemm<T>(false, false, height, t.D, width, dy, t.cosines, kColumns, t.g, t.D, T(1), t.df, t.D);
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
  const size_t tiles = size_t(threads() * Tile<float>::room_for(x[0][2], x[2][2])) * dtype_size(dtype);
  return Images<float>::index_bytes(x[0][0], x[0][1], x[1][1]) + tiles;
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
