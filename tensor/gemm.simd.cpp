// gemm_block(): C is cut into register tiles of kRows x (kVectors * 16); each holds its sums in registers while k runs,
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
  f32x16 sum[Rows][Vectors];
  float* c = p.c + i * p.ldc + j;
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) sum[r][v] = p.accumulate ? load16(c + r * p.ldc + v * 16) : f32x16{};
  const float* a = p.a + i * p.a_row;
  const float* b = p.b + j;
  for (int64_t k = 0; k < p.k; ++k, a += p.a_column, b += p.ldb) {
    f32x16 right[Vectors];
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) right[v] = load16(b + v * 16);
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
      const f32x16 left = splat16(a[r * p.a_row]);
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) sum[r][v] += left * right[v];
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) store16(c + r * p.ldc + v * 16, sum[r][v]);
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
  // Tiles that fill the register file: 24 sums of 16 floats with AVX-512; narrower sets split each into 2 or 4 registers.
#if defined(__AVX512F__)
  for (; j + 64 <= n; j += 64) panel<6, 4>(p, 0, m, j);
  for (; j + 32 <= n; j += 32) panel<12, 2>(p, 0, m, j);
  for (; j + 16 <= n; j += 16) panel<12, 1>(p, 0, m, j);
#elif defined(__AVX2__)
  for (; j + 16 <= n; j += 16) panel<6, 1>(p, 0, m, j);
#else
  for (; j + 16 <= n; j += 16) panel<2, 1>(p, 0, m, j);
#endif
}

}  // namespace patchcl::PATCHCL_ISA
