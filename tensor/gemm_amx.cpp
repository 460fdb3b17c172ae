// C is cut into grids of up to four tiles that stay in their registers while k runs. A's and B's pairs lie in
// memory as the instruction wants them; where A is stored as a transpose, its part is turned first. All tiles
// of a grid are equal, so that one shape, which takes as long to set as ten products, serves many calls: 36
// rows are three tiles of 12, not 16 + 16 + 4.
#include "tensor/gemm_amx.h"

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "tensor/amx.h"

namespace patchcl::amx {
namespace {

// All of m, a multiple of p.rows, by n.
void equal_tiles(const TileGrid& p, int64_t m, int64_t n, const uint32_t* a, const uint32_t* b, float* c) {
  set_shape(p.rows, p.cells);
  int64_t j = 0;
  for (; j + 2 * kSide <= n; j += 2 * kSide) multiply_column<2, 2>(p, m / p.rows, a, b + j, c + j);
  if (j < n) multiply_column<4, 1>(p, m / p.rows, a, b + j, c + j);
}

struct RowsOfPairs {
  int64_t k;
  const uint32_t* a;
  int64_t lda;
  const uint32_t* b;
  int64_t ldb;
  float* c;
  int64_t ldc;
  bool accumulate;
};

// A with contiguous rows. What equal tiles leave over has a shape of its own.
void rows_of_a(const RowsOfPairs& p, int64_t m, int64_t n) {
  const int64_t side = tile_side(p.k), rest = p.k % side, whole = p.k - rest;
  for (int64_t i = 0, height; i < m; i += height) {
    const int64_t rows = std::min(tile_side(m), m - i);
    height = (m - i) / rows * rows;
    const uint32_t* a = p.a + i * p.lda;
    float* c = p.c + i * p.ldc;
    TileGrid g{rows, side, 1, whole, 0, p.lda, rows * p.lda, p.ldb, p.ldc, rows * p.ldc, p.accumulate};
    equal_tiles(g, height, n, a, p.b, c);
    if (rest == 0) continue;
    g.cells = g.line_size = rest;
    g.accumulate = true;
    equal_tiles(g, height, n, a + whole, p.b + whole * p.ldb, c);
  }
}

// A with contiguous columns, turned part by part.
void columns_of_a(const RowsOfPairs& p, int64_t m, int64_t n) {
  constexpr int64_t kRows = 64, kPairs = 128;  // of a part: 32 KiB
  alignas(64) uint32_t turned[kRows * kPairs];
  for (int64_t k = 0; k < p.k; k += kPairs)
    for (int64_t i = 0; i < m; i += kRows) {
      const int64_t rows = std::min(kRows, m - i), pairs = std::min(kPairs, p.k - k);
      avx512bf16::transpose_block(pairs, rows, reinterpret_cast<const float*>(p.a + k * p.lda + i), p.lda,
          reinterpret_cast<float*>(turned), kPairs);
      rows_of_a(
          {pairs, turned, kPairs, p.b + k * p.ldb, p.ldb, p.c + i * p.ldc, p.ldc, p.accumulate || k > 0},
          rows, n);
    }
}

bool processor_has_tiles() {
  unsigned a, b, c, d;
  constexpr unsigned kBf16 = 1u << 22, kTile = 1u << 24, kInt8 = 1u << 25, kAll = kBf16 | kTile | kInt8;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & kAll) == kAll;
}

bool system_gives_tiles() {
  constexpr int kAskForState = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kAskForState, kTileData) == 0;
}

}  // namespace

bool available() {
  static const bool is = processor_has_tiles() && system_gives_tiles();
  return is;
}

void gemm_block_bf16(int64_t m, int64_t n, int64_t pairs, const uint32_t* a, int64_t a_row, int64_t a_column,
    const uint32_t* b, int64_t ldb, float* c, int64_t ldc, bool accumulate) {
  if (a_column == 1) rows_of_a({pairs, a, a_row, b, ldb, c, ldc, accumulate}, m, n);
  else columns_of_a({pairs, a, a_column, b, ldb, c, ldc, accumulate}, m, n);
}

}  // namespace patchcl::amx

#else

namespace patchcl::amx {
bool available() { return false; }
void gemm_block_bf16(int64_t, int64_t, int64_t, const uint32_t*, int64_t, int64_t, const uint32_t*, int64_t,
    float*, int64_t, bool) {}
}  // namespace patchcl::amx
#endif
