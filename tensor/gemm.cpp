#include "tensor/gemm.h"

// Eigen multiplies single tiles; threads are ours (tensor/parallel.h).
#define EIGEN_DONT_PARALLELIZE
#include <Eigen/Core>
#include <algorithm>

#include "tensor/device.h"
#include "tensor/parallel.h"

namespace patchcl {

namespace {

template <class T> using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <class T> using In = Eigen::Map<const Matrix<T>, 0, Eigen::OuterStride<>>;
template <class T> using Out = Eigen::Map<Matrix<T>, 0, Eigen::OuterStride<>>;

template <class T> struct Problem {
  bool ta, tb;
  int64_t m, n, k;
  T alpha;
  const T* a;
  int64_t lda;
  const T* b;
  int64_t ldb;
  T beta;
  T* c;
  int64_t ldc;
};

// Rows [i, i + rows) and columns [j, j + columns) of C through Eigen.
template <class T> void eigen_tile(const Problem<T>& p, int64_t i, int64_t j, int64_t rows, int64_t columns) {
  Out<T> c(p.c + i * p.ldc + j, rows, columns, Eigen::OuterStride<>(p.ldc));
  if (p.beta == T(0)) c.setZero();
  else if (p.beta != T(1)) c *= p.beta;
  const In<T> a(
      p.ta ? p.a + i : p.a + i * p.lda, p.ta ? p.k : rows, p.ta ? rows : p.k, Eigen::OuterStride<>(p.lda));
  const In<T> b(p.tb ? p.b + j * p.ldb : p.b + j, p.tb ? columns : p.k, p.tb ? p.k : columns,
      Eigen::OuterStride<>(p.ldb));
  const auto add_product = [&](const auto& left, const auto& right) {
    c.noalias() += p.alpha * (left * right);
  };
  if (p.ta && p.tb) add_product(a.transpose(), b.transpose());
  else if (p.ta) add_product(a.transpose(), b);
  else if (p.tb) add_product(a, b.transpose());
  else add_product(a, b);
}

// The same through gemm_block: a panel of B is copied, untransposed and padded to whole vectors, then
// multiplied into a tile of sums; both are small enough for the stack and the nearest caches.
constexpr int64_t kTileM = 96, kTileN = 64, kTileK = 256;

template <class T> auto block_kernel() {
  if constexpr (std::is_same_v<T, float>) return ISA_PICK(gemm_block);
  else return ISA_PICK(gemm_block_f64);
}

void turn(int64_t rows, int64_t columns, const float* a, int64_t lda, float* b, int64_t ldb) {
  ISA_PICK(transpose_block)(rows, columns, a, lda, b, ldb);
}
void turn(int64_t rows, int64_t columns, const double* a, int64_t lda, double* b, int64_t ldb) {
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j) b[j * ldb + i] = a[i * lda + j];
}

// Rows [k, k + depth) of columns [j, j + columns) of op(B), in lines of `width` that end in zeros.
template <class T> void copy_panel(
    const Problem<T>& p, int64_t k, int64_t j, int64_t depth, int64_t columns, int64_t width, T* panel) {
  if (columns < width) std::fill_n(panel, depth * width, T(0));
  if (p.tb) return turn(columns, depth, p.b + j * p.ldb + k, p.ldb, panel, width);
  for (int64_t q = 0; q < depth; ++q) std::copy_n(p.b + (k + q) * p.ldb + j, columns, panel + q * width);
}

template <class T> void block_tile(const Problem<T>& p, int64_t i, int64_t j, int64_t rows, int64_t columns) {
  alignas(64) T panel[kTileK * kTileN], sum[kTileM * kTileN] = {};
  const int64_t width = chunks(columns, 16) * 16;
  for (int64_t k = 0; k < p.k; k += kTileK) {
    const int64_t depth = std::min(kTileK, p.k - k);
    copy_panel(p, k, j, depth, columns, width, panel);
    block_kernel<T>()(rows, width, depth, p.ta ? p.a + k * p.lda + i : p.a + i * p.lda + k, p.ta ? 1 : p.lda,
        p.ta ? p.lda : 1, panel, width, sum, width, /*accumulate=*/true);
  }
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t o = 0; o < columns; ++o) {
      T& c = p.c[(i + r) * p.ldc + j + o];
      c = p.beta == 0 ? p.alpha * sum[r * width + o] : p.alpha * sum[r * width + o] + p.beta * c;
    }
}

template <class T, class Tile> void tiles(const Problem<T>& p, int64_t tile_n, Tile tile) {
  const int64_t across = chunks(p.n, tile_n);
  parallel_for(chunks(p.m, kTileM) * across, [&](int64_t t) {
    const int64_t i = t / across * kTileM, j = t % across * tile_n;
    tile(p, i, j, std::min(kTileM, p.m - i), std::min(tile_n, p.n - j));
  });
}

}  // namespace

template <class T> void gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, T alpha, const T* a,
    int64_t lda, const T* b, int64_t ldb, T beta, T* c, int64_t ldc) {
  const Problem<T> p{ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc};
  if (kernels() == Kernels::naive) tiles<T>(p, /*tile_n=*/256, eigen_tile<T>);
  else tiles<T>(p, kTileN, block_tile<T>);
}

template void gemm(bool, bool, int64_t, int64_t, int64_t, float, const float*, int64_t, const float*, int64_t,
    float, float*, int64_t);
template void gemm(bool, bool, int64_t, int64_t, int64_t, double, const double*, int64_t, const double*,
    int64_t, double, double*, int64_t);

}  // namespace patchcl
