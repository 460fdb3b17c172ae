// gemm_block() and its siblings: C is cut into register tiles of Rows x Vectors; each holds its sums in
// registers while k runs, and every element of A is broadcast to as many multiply-adds as the tile has
// vectors.
#include "tensor/gemm.h"

namespace patchcl::PATCHCL_ISA {
namespace {

// What a kind of product reads, sums and does.
template <class T, class Register> struct Plain {
  using Factor = T;
  using Sum = T;
  using Factors = Register;
  using Sums = Register;
  static constexpr int64_t lanes = sizeof(Register) / sizeof(T);
  SIMD_INLINE Factors read(const T* p) { return load(p); }
  SIMD_INLINE Factors broadcast(T v) { return splat(v); }
  SIMD_INLINE void add(Sums& sum, Factors a, Factors b) { sum += a * b; }
};
using F32 = Plain<float, Vec>;
using F64 = Plain<double, Vec64>;
struct Bf16Pairs {
  using Factor = uint32_t;
  using Sum = float;
  using Factors = Bits;
  using Sums = Vec;
  static constexpr int64_t lanes = kLanes;
  SIMD_INLINE Factors read(const uint32_t* p) { return load(p); }
  SIMD_INLINE Factors broadcast(uint32_t v) { return v - Bits{}; }
  SIMD_INLINE void add(Sums& sum, Factors a, Factors b) {
#if defined(__AVX512BF16__)
    asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
#else
    sum += Vec(a & 0xffff0000) * Vec(b & 0xffff0000);
    sum += Vec(a << 16) * Vec(b << 16);
#endif
  }
};

template <class Kind> struct Operands {
  int64_t k;
  const typename Kind::Factor* a;
  int64_t a_row, a_column;
  const typename Kind::Factor* b;
  int64_t ldb;
  typename Kind::Sum* c;
  int64_t ldc;
  bool accumulate;
};

// Rows of a matrix, eight to an address.
template <int Rows, class T> class RowsOf {
 public:
  SIMD_MEMBER RowsOf(T* first, int64_t pitch) : eight_{{first, pitch}, {first + 8 * pitch, pitch}} {}
  SIMD_MEMBER T* operator[](int r) const { return eight_[r / 8][r % 8]; }
  SIMD_MEMBER void move(int64_t columns) {
    eight_[0].move(columns);
    if constexpr (Rows > 8) eight_[1].move(columns);
  }

 private:
  static_assert(Rows <= 16);
  Strided<T> eight_[2];
};

template <int Rows, int Vectors, class Kind>
SIMD_INLINE void tile(const Operands<Kind>& p, int64_t i, int64_t j) {
  constexpr int64_t lanes = Kind::lanes;
  typename Kind::Sums sum[Rows][Vectors];
  const RowsOf<Rows, typename Kind::Sum> c(p.c + i * p.ldc + j, p.ldc);
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v)
      sum[r][v] = p.accumulate ? load(c[r] + v * lanes) : typename Kind::Sums{};
  RowsOf<Rows, const typename Kind::Factor> a(p.a + i * p.a_row, p.a_row);
  const auto* b = p.b + j;
  for (int64_t k = 0; k < p.k; ++k, a.move(p.a_column), b += p.ldb) {
    typename Kind::Factors right[Vectors];
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) right[v] = Kind::read(b + v * lanes);
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
      const typename Kind::Factors left = Kind::broadcast(*a[r]);
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) Kind::add(sum[r][v], left, right[v]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) store(c[r] + v * lanes, sum[r][v]);
}

// The tile for a number of rows that is known only now.
template <int Rows, int Vectors, class Kind>
void tile_of(const Operands<Kind>& p, int64_t i, int64_t j, int64_t rows) {
  if (rows == Rows) return tile<Rows, Vectors>(p, i, j);
  if constexpr (Rows > 1) tile_of<Rows - 1, Vectors>(p, i, j, rows);
}

// All rows of a column panel, in tiles of nearly equal height: a low one has too few sums to hide the latency
// of adding.
template <int MaxRows, int Vectors, class Kind> void panel(const Operands<Kind>& p, int64_t m, int64_t j) {
  const int64_t tiles = (m + MaxRows - 1) / MaxRows;
  for (int64_t t = 0, i = 0; t < tiles; ++t) {
    const int64_t end = m * (t + 1) / tiles;
    tile_of<MaxRows, Vectors>(p, i, j, end - i);
    i = end;
  }
}

template <class Kind> void block(const Operands<Kind>& p, int64_t m, int64_t n) {
  constexpr int64_t lanes = Kind::lanes;
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
  block<F32>({k, a, a_row, a_column, b, ldb, c, ldc, accumulate}, m, n);
}

void gemm_block_f64(int64_t m, int64_t n, int64_t k, const double* a, int64_t a_row, int64_t a_column,
    const double* b, int64_t ldb, double* c, int64_t ldc, bool accumulate) {
  block<F64>({k, a, a_row, a_column, b, ldb, c, ldc, accumulate}, m, n);
}

void transpose_block(int64_t rows, int64_t columns, const float* a, int64_t lda, float* b, int64_t ldb) {
  const int64_t whole_rows = rows - rows % kLanes, whole_columns = columns - columns % kLanes;
  for (int64_t i = 0; i < whole_rows; i += kLanes)
    for (int64_t j = 0; j < whole_columns; j += kLanes) {
      Vec v[kLanes];
      for (int r = 0; r < kLanes; ++r) v[r] = load(a + (i + r) * lda + j);
      transpose(v);
      for (int r = 0; r < kLanes; ++r) store(b + (j + r) * ldb + i, v[r]);
    }
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = i < whole_rows ? whole_columns : 0; j < columns; ++j) b[j * ldb + i] = a[i * lda + j];
}

void gemm_block_bf16(int64_t m, int64_t n, int64_t pairs, const uint32_t* a, int64_t a_row, int64_t a_column,
    const uint32_t* b, int64_t ldb, float* c, int64_t ldc, bool accumulate) {
  block<Bf16Pairs>({pairs, a, a_row, a_column, b, ldb, c, ldc, accumulate}, m, n);
}

}  // namespace patchcl::PATCHCL_ISA
