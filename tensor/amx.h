// The tiles of AMX (Intel, since 2023), by their instructions: eight registers of up to 16 rows of 64 bytes,
// and one instruction that multiplies two of them, 16 x 16 pairs of bf16 by 16 pairs x 16, where AVX-512
// multiplies one pair by 16; or fours of bytes. For x86-64 alone. A cell of 4 bytes is a pair or a four. Sums
// of bf16 are f32; those of even and of odd numbers of a pair are apart within a product, then added, and
// numbers below 1e-38 count as 0. Sums of bytes are whole numbers.
#pragma once
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

namespace patchcl::amx {

constexpr int64_t kSide = 16;  // rows of a tile, 4-byte cells of a row

// Registers: sums in 0 to 3, A in 4 and 5, B in 6 and 7.
constexpr int kA = 4, kB = 6, kTiles = 8;

// As LDTILECFG reads it.
struct alignas(64) TileShapes {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

// A of `rows` x `cells`, B of `cells` x 16, sums of `rows` x 16. Sets nothing where it is so already; that is
// asked of the processor, which costs a tenth of setting: others of this thread use the tiles too, and a
// forked process begins without.
inline void set_shape(int64_t rows, int64_t cells) {
  TileShapes wanted, there;
  for (int t = 0; t < kTiles; ++t) {
    wanted.rows[t] = uint8_t(t < kB ? rows : cells);
    wanted.row_bytes[t] = uint16_t(t == kA || t == kA + 1 ? 4 * cells : 4 * kSide);
  }
  asm volatile("sttilecfg %0" : "=m"(there));
  if (std::memcmp(&wanted, &there, sizeof there) != 0) asm volatile("ldtilecfg %0" : : "m"(wanted));
}

// `pitch`: cells between rows.
template <int Tile> void load(const void* first, int64_t pitch) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(first), "r"(4 * pitch), "i"(Tile) : "memory");
}
template <int Tile> void store(void* first, int64_t pitch) {
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(first), "r"(4 * pitch), "i"(Tile) : "memory");
}
template <int Tile> void clear() { asm volatile("tilezero %%tmm%c0" : : "i"(Tile)); }

// What a product of two tiles is.
struct PairsOfBf16 {
  using Sum = float;
  template <int C, int A, int B> static void add() {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(C), "i"(A), "i"(B));
  }
};
struct FoursOfBytes {  // A without a sign, B with one
  using Sum = int32_t;
  template <int C, int A, int B> static void add() {
    asm volatile("tdpbusd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(C), "i"(A), "i"(B));
  }
};

// f(0), f(1) ... f(N - 1), each known to the compiler.
template <int N, class F> void each(const F& f) {
  [&]<int... I>(std::integer_sequence<int, I...>) { (f(std::integral_constant<int, I>()), ...); }
  (std::make_integer_sequence<int, N>());
}

// The side of tiles for `size` rows or cells: of equal ones, if there are any, else of nearly equal ones.
inline int64_t tile_side(int64_t size) {
  for (int64_t side = kSide; side > kSide / 2; --side)
    if (size % side == 0) return side;
  const int64_t tiles = (size + kSide - 1) / kSide;
  return (size + tiles - 1) / tiles;
}

// Sums of products of tiles: Rows x Columns tiles of C, which stay in their registers while k runs over
// `lines` of A, say the three rows of an image that a row of a convolution reads.
struct TileGrid {
  int64_t rows, cells;       // of a tile
  int64_t lines, line_size;  // cells of a line, a multiple of `cells`
  int64_t line_pitch;        // from a line of A to the next; all lines of B are one
  int64_t a_pitch, a_step;   // from a row to the next, from a tile to the one below
  int64_t b_pitch;
  int64_t c_pitch, c_step;
  bool accumulate;
};

template <int Rows, int Columns, class Product = PairsOfBf16>
void multiply_grid(const TileGrid& p, const uint32_t* a, const uint32_t* b, typename Product::Sum* c) {
  using Sum = typename Product::Sum;
  const auto each_sum = [&](const auto& f) {
    each<Rows>([&](auto row) {
      each<Columns>([&](auto column) {
        f(std::integral_constant<int, row * Columns + column>(), c + row * p.c_step + column * kSide);
      });
    });
  };
  each_sum([&](auto tile, const Sum* from) { p.accumulate ? load<tile>(from, p.c_pitch) : clear<tile>(); });
  for (int64_t line = 0; line < p.lines; ++line)
    for (int64_t k = 0; k < p.line_size; k += p.cells, b += p.cells * p.b_pitch) {
      each<Columns>([&](auto column) { load<kB + column>(b + column * kSide, p.b_pitch); });
      each<Rows>([&](auto row) {
        load<kA + row % 2>(a + line * p.line_pitch + row * p.a_step + k, p.a_pitch);
        each<Columns>(
            [&](auto column) { Product::template add<row * Columns + column, kA + row % 2, kB + column>(); });
      });
    }
  each_sum([&](auto tile, Sum* to) { store<tile>(to, p.c_pitch); });
}

// `tiles` of them below each other, at most Rows at a time.
template <int Rows, int Columns, class Product = PairsOfBf16> void multiply_column(
    const TileGrid& p, int64_t tiles, const uint32_t* a, const uint32_t* b, typename Product::Sum* c) {
  for (; tiles >= Rows; tiles -= Rows, a += Rows * p.a_step, c += Rows * p.c_step)
    multiply_grid<Rows, Columns, Product>(p, a, b, c);
  if constexpr (Rows > 1)
    if (tiles > 0) multiply_column<Rows / 2, Columns, Product>(p, tiles, a, b, c);
}

}  // namespace patchcl::amx
