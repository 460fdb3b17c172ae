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
#include <cstring>
#include <utility>

namespace patchcl::amx {
namespace {

constexpr int64_t kSide = 16;  // rows of a tile, 4-byte cells of a row

// Registers: sums in 0 to 3, A in 4 and 5, B in 6 and 7.
constexpr int kA = 4, kB = 6, kTiles = 8;

// As LDTILECFG reads it.
struct alignas(64) TileShapes {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

// Where the registers have other shapes. They are asked, which costs a tenth of setting them: others of this
// thread use them too, and a forked process begins without.
void set_shape(int64_t rows, int64_t pairs) {
  TileShapes wanted, there;
  for (int t = 0; t < kTiles; ++t) {
    wanted.rows[t] = uint8_t(t < kB ? rows : pairs);
    wanted.row_bytes[t] = uint16_t(t == kA || t == kA + 1 ? 4 * pairs : 4 * kSide);
  }
  asm volatile("sttilecfg %0" : "=m"(there));
  if (std::memcmp(&wanted, &there, sizeof there) != 0) asm volatile("ldtilecfg %0" : : "m"(wanted));
}

template <int Tile> void load(const void* first, int64_t pitch) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(first), "r"(4 * pitch), "i"(Tile) : "memory");
}
template <int Tile> void store(float* first, int64_t pitch) {
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(first), "r"(4 * pitch), "i"(Tile) : "memory");
}
template <int Tile> void clear() { asm volatile("tilezero %%tmm%c0" : : "i"(Tile)); }
template <int Sum, int A, int B> void multiply() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(Sum), "i"(A), "i"(B));
}

// f(0), f(1) ... f(N - 1), each known to the compiler.
template <int N, class F> void each(const F& f) {
  [&]<int... I>(std::integer_sequence<int, I...>) { (f(std::integral_constant<int, I>()), ...); }
  (std::make_integer_sequence<int, N>());
}

struct TileProduct {
  int64_t rows, pairs;  // of a tile
  int64_t k;            // a multiple of `pairs`
  const uint32_t* a;
  int64_t lda;
  const uint32_t* b;
  int64_t ldb;
  float* c;
  int64_t ldc;
  bool accumulate;
};

template <int Rows, int Columns> void grid(const TileProduct& p, int64_t i, int64_t j) {
  float* c = p.c + i * p.ldc + j;
  const auto each_sum = [&](const auto& f) {
    each<Rows>([&](auto row) {
      each<Columns>([&](auto column) {
        f(std::integral_constant<int, row * Columns + column>(), c + row * p.rows * p.ldc + column * kSide);
      });
    });
  };
  each_sum([&](auto tile, const float* from) { p.accumulate ? load<tile>(from, p.ldc) : clear<tile>(); });
  for (int64_t k = 0; k < p.k; k += p.pairs) {
    each<Columns>([&](auto column) { load<kB + column>(p.b + k * p.ldb + j + column * kSide, p.ldb); });
    each<Rows>([&](auto row) {
      load<kA + row % 2>(p.a + (i + row * p.rows) * p.lda + k, p.lda);
      each<Columns>([&](auto column) { multiply<row * Columns + column, kA + row % 2, kB + column>(); });
    });
  }
  each_sum([&](auto tile, float* to) { store<tile>(to, p.ldc); });
}

// All of m, a multiple of p.rows.
template <int Rows, int Columns> void panel(const TileProduct& p, int64_t m, int64_t j) {
  int64_t i = 0;
  for (; i + Rows * p.rows <= m; i += Rows * p.rows) grid<Rows, Columns>(p, i, j);
  if constexpr (Rows > 1)
    if (i < m) {
      TileProduct rest = p;
      rest.a += i * p.lda;
      rest.c += i * p.ldc;
      panel<Rows / 2, Columns>(rest, m - i, j);
    }
}

void equal_tiles(const TileProduct& p, int64_t m, int64_t n) {
  set_shape(p.rows, p.pairs);
  int64_t j = 0;
  for (; j + 2 * kSide <= n; j += 2 * kSide) panel<2, 2>(p, m, j);
  if (j < n) panel<4, 1>(p, m, j);
}

// The side of tiles for `size` rows or pairs: of equal ones, if there are any, else of nearly equal ones.
int64_t tile_side(int64_t size) {
  for (int64_t side = kSide; side > kSide / 2; --side)
    if (size % side == 0) return side;
  const int64_t tiles = (size + kSide - 1) / kSide;
  return (size + tiles - 1) / tiles;
}

// A with contiguous rows. What equal tiles leave over has a shape of its own.
void rows_of_a(TileProduct p, int64_t m, int64_t n) {
  const int64_t k = p.k, rest = k % p.pairs;
  p.k -= rest;
  for (int64_t i = 0; i < m;) {
    p.rows = std::min(tile_side(m), m - i);
    const int64_t height = (m - i) / p.rows * p.rows;
    TileProduct part = p;
    part.a += i * p.lda;
    part.c += i * p.ldc;
    equal_tiles(part, height, n);
    if (rest) {
      part.a += p.k;
      part.b += p.k * p.ldb;
      part.k = part.pairs = rest;
      part.accumulate = true;
      equal_tiles(part, height, n);
    }
    i += height;
  }
}

// A with contiguous columns, turned part by part.
void columns_of_a(const TileProduct& p, int64_t m, int64_t n) {
  constexpr int64_t kRows = 64, kPairs = 128;  // of a part: 32 KiB
  alignas(64) uint32_t turned[kRows * kPairs];
  for (int64_t k = 0; k < p.k; k += kPairs)
    for (int64_t i = 0; i < m; i += kRows) {
      const int64_t rows = std::min(kRows, m - i), pairs = std::min(kPairs, p.k - k);
      avx512bf16::transpose_block(pairs, rows, reinterpret_cast<const float*>(p.a + k * p.lda + i), p.lda,
          reinterpret_cast<float*>(turned), kPairs);
      rows_of_a({0, tile_side(pairs), pairs, turned, kPairs, p.b + k * p.ldb, p.ldb, p.c + i * p.ldc, p.ldc,
                    p.accumulate || k > 0},
          rows, n);
    }
}

bool processor_has_tiles_of_bf16() {
  unsigned a, b, c, d;
  constexpr unsigned kBf16 = 1u << 22, kTile = 1u << 24;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & kBf16) && (d & kTile);
}

bool system_gives_tiles() {
  constexpr int kAskForState = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kAskForState, kTileData) == 0;
}

}  // namespace

bool available() {
  static const bool is = processor_has_tiles_of_bf16() && system_gives_tiles();
  return is;
}

void gemm_block_bf16(int64_t m, int64_t n, int64_t pairs, const uint32_t* a, int64_t a_row, int64_t a_column,
    const uint32_t* b, int64_t ldb, float* c, int64_t ldc, bool accumulate) {
  if (a_column == 1) rows_of_a({0, tile_side(pairs), pairs, a, a_row, b, ldb, c, ldc, accumulate}, m, n);
  else columns_of_a({0, 0, pairs, a, a_column, b, ldb, c, ldc, accumulate}, m, n);
}

}  // namespace patchcl::amx

#else

namespace patchcl::amx {
bool available() { return false; }
void gemm_block_bf16(int64_t, int64_t, int64_t, const uint32_t*, int64_t, int64_t, const uint32_t*, int64_t,
    float*, int64_t, bool) {}
}  // namespace patchcl::amx
#endif
