// gemm_block(), gemm_block_f64(): C is cut into register tiles of Rows x Vectors; each holds its sums in
// registers while k runs, and every element of A is broadcast to as many multiply-adds as the tile has
// vectors.
#include "tensor/gemm.h"

namespace patchcl::PATCHCL_ISA {
namespace {

template <class T> struct Operands {
  static constexpr int64_t lanes = kLanes * 4 / sizeof(T);
  int64_t k;
  const T* a;
  int64_t a_row, a_column;
  const T* b;
  int64_t ldb;
  T* c;
  int64_t ldc;
  bool accumulate;
};

template <int Rows, int Vectors, class T> SIMD_INLINE void tile(const Operands<T>& p, int64_t i, int64_t j) {
  using V = decltype(splat(T()));
  constexpr int64_t lanes = Operands<T>::lanes;
  V sum[Rows][Vectors];
  T* c = p.c + i * p.ldc + j;
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) sum[r][v] = p.accumulate ? load(c + r * p.ldc + v * lanes) : V{};
  const T* a = p.a + i * p.a_row;
  const T* b = p.b + j;
  for (int64_t k = 0; k < p.k; ++k, a += p.a_column, b += p.ldb) {
    V right[Vectors];
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) right[v] = load(b + v * lanes);
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
      const V left = splat(a[r * p.a_row]);
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) sum[r][v] += left * right[v];
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) store(c + r * p.ldc + v * lanes, sum[r][v]);
}

// The tile for a number of rows that is known only now.
template <int Rows, int Vectors, class T>
void tile_of(const Operands<T>& p, int64_t i, int64_t j, int64_t rows) {
  if (rows == Rows) return tile<Rows, Vectors>(p, i, j);
  if constexpr (Rows > 1) tile_of<Rows - 1, Vectors>(p, i, j, rows);
}

// All rows of a column panel, in tiles of nearly equal height: a low one has too few sums to hide the latency
// of adding.
template <int MaxRows, int Vectors, class T> void panel(const Operands<T>& p, int64_t m, int64_t j) {
  const int64_t tiles = (m + MaxRows - 1) / MaxRows;
  for (int64_t t = 0, i = 0; t < tiles; ++t) {
    const int64_t end = m * (t + 1) / tiles;
    tile_of<MaxRows, Vectors>(p, i, j, end - i);
    i = end;
  }
}

template <class T> void block(const Operands<T>& p, int64_t m, int64_t n) {
  constexpr int64_t lanes = Operands<T>::lanes;
  int64_t j = 0;
  // Tiles that fill the register file: up to 24 of AVX-512's 32 registers hold sums, 12 of AVX2's 16, 8 of
  // SSE's 16.
  if constexpr (kLanes == 16) {
    for (; j + 4 * lanes <= n; j += 4 * lanes) panel<6, 4>(p, m, j);
    for (; j + 2 * lanes <= n; j += 2 * lanes) panel<12, 2>(p, m, j);
    for (; j < n; j += lanes) panel<16, 1>(p, m, j);
  } else {
    constexpr int vectors = kLanes == 8 ? 2 : 4;
    for (; j < n; j += vectors * lanes) panel<kLanes == 8 ? 6 : 2, vectors>(p, m, j);
  }
}

}  // namespace

void gemm_block(int64_t m, int64_t n, int64_t k, const float* a, int64_t a_row, int64_t a_column,
    const float* b, int64_t ldb, float* c, int64_t ldc, bool accumulate) {
  block<float>({k, a, a_row, a_column, b, ldb, c, ldc, accumulate}, m, n);
}

void gemm_block_f64(int64_t m, int64_t n, int64_t k, const double* a, int64_t a_row, int64_t a_column,
    const double* b, int64_t ldb, double* c, int64_t ldc, bool accumulate) {
  block<double>({k, a, a_row, a_column, b, ldb, c, ldc, accumulate}, m, n);
}

}  // namespace patchcl::PATCHCL_ISA
