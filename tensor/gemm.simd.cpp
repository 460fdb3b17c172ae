// gemm_block(): C is cut into register tiles of Rows x Vectors; each holds its sums in registers while k runs,
// and every element of A is broadcast to as many multiply-adds as the tile has vectors.
#include "tensor/gemm.h"

namespace patchcl::PATCHCL_ISA {
namespace {

struct Operands {
  int64_t k;
  const float* a;
  int64_t a_row, a_column;
  const float* b;
  int64_t ldb;
  float* c;
  int64_t ldc;
  bool accumulate;
};

template <int Rows, int Vectors> SIMD_INLINE void tile(const Operands& p, int64_t i, int64_t j) {
  Vec sum[Rows][Vectors];
  float* c = p.c + i * p.ldc + j;
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) sum[r][v] = p.accumulate ? load(c + r * p.ldc + v * kLanes) : Vec{};
  const float* a = p.a + i * p.a_row;
  const float* b = p.b + j;
  for (int64_t k = 0; k < p.k; ++k, a += p.a_column, b += p.ldb) {
    Vec right[Vectors];
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) right[v] = load(b + v * kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
      const Vec left = splat(a[r * p.a_row]);
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) sum[r][v] += left * right[v];
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) store(c + r * p.ldc + v * kLanes, sum[r][v]);
}

// All rows of a column panel; what is left over goes to tiles of half the height.
template <int Rows, int Vectors> void panel(const Operands& p, int64_t i, int64_t m, int64_t j) {
  for (; i + Rows <= m; i += Rows) tile<Rows, Vectors>(p, i, j);
  if constexpr (Rows > 1)
    if (i < m) panel<Rows / 2, Vectors>(p, i, m, j);
}

}  // namespace

void gemm_block(int64_t m, int64_t n, int64_t k, const float* a, int64_t a_row, int64_t a_column, const float* b,
                int64_t ldb, float* c, int64_t ldc, bool accumulate) {
  const Operands p{k, a, a_row, a_column, b, ldb, c, ldc, accumulate};
  int64_t j = 0;
  // Tiles that fill the register file: 24 of AVX-512's 32 registers hold sums, 12 of AVX2's 16, 8 of SSE's 16.
  if constexpr (kLanes == 16) {
    for (; j + 64 <= n; j += 64) panel<6, 4>(p, 0, m, j);
    for (; j + 32 <= n; j += 32) panel<12, 2>(p, 0, m, j);
  }
  for (; j + 16 <= n; j += 16) panel<kLanes == 4 ? 2 : kLanes == 8 ? 6 : 12, 16 / kLanes>(p, 0, m, j);
}

}  // namespace patchcl::PATCHCL_ISA
