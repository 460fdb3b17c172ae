#include "autograd/ops/conv2d_int8_kernels.h"

namespace patchcl::PATCHCL_ISA {
namespace {

typedef int32_t Whole __attribute__((vector_size(kLanes * 4)));
typedef uint8_t Bytes __attribute__((vector_size(kLanes), aligned(1), may_alias));

// A number in [-2^22, 2^22] plus this has the nearest whole number, ties to even, in its lower bits.
constexpr float kRound = 12582912.f;  // 1.5 * 2^23
SIMD_INLINE Whole nearest(Vec v) { return Whole(v + splat(kRound)) - Whole(splat(kRound)); }

// Between multiplying and rounding, so that no compiler makes one operation of them. NaN becomes `least`.
SIMD_INLINE Vec clamped(Vec v, Vec least, Vec most) {
  v = v > least ? v : least;
  return v < most ? v : most;
}

// sum += the products of four bytes each, a without a sign, b with one.
SIMD_INLINE void add_products(Bits& sum, Bits a, Bits b) {
#if defined(__AVX512VNNI__)
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
#else
#pragma GCC unroll 4
  for (int shift = 0; shift < 32; shift += 8)
    sum += (a >> shift & 255) * Bits(Whole(b << (24 - shift)) >> 24);
#endif
}

// What becomes of the sums of channels [c, c + kLanes).
struct End {
  Bits base;
  Vec scale, shift, slope;
  template <class Of> SIMD_MEMBER End(const Of& p, int64_t c)
      : base(load(p.base + c)), scale(load(p.scale + c)), shift(load(p.shift + c)), slope(splat(p.slope)) {}
  SIMD_MEMBER Vec of(Bits sum) const {
    const Vec y = __builtin_convertvector(Whole(sum - base), Vec) * scale + shift;
    return y > 0 ? y : slope * y;
  }
};

// Pixels [j, j + Pixels), columns [o, o + Vectors * kLanes), whose words begin at `words`. Along a row of x
// the bytes of a pixel's three taps lie side by side: neighbours read overlapping runs of 3 cin bytes.
template <int Pixels, int Vectors, class X>
SIMD_INLINE void tile(const Int8Row<X>& p, int64_t j, int64_t o, const uint32_t* words, int64_t pitch) {
  const int64_t quads = p.cin / 4;
  Bits sum[Pixels][Vectors] = {};
  for (int u = 0; u < 3; ++u) {
    const uint32_t* x = reinterpret_cast<const uint32_t*>(p.rows[u]) + j * quads;
    for (int64_t k = 0; k < 3 * quads; ++k, ++x, words += pitch) {
      Bits right[Vectors];
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) right[v] = load(words + v * kLanes);
#pragma GCC unroll 16
      for (int r = 0; r < Pixels; ++r) {
        const Bits left = x[r * quads] - Bits{};
#pragma GCC unroll 4
        for (int v = 0; v < Vectors; ++v) add_products(sum[r][v], left, right[v]);
      }
    }
  }
#pragma GCC unroll 4
  for (int v = 0; v < Vectors; ++v) {
    const int64_t c = o + v * kLanes;
    const End end(p, c);
#pragma GCC unroll 16
    for (int r = 0; r < Pixels; ++r) store(p.y + (j + r) * p.cout + c, end.of(sum[r][v]));
  }
}

// The tile for a number of pixels that is known only now.
template <int Pixels, int Vectors, class X> void tile_of(
    const Int8Row<X>& p, int64_t j, int64_t pixels, int64_t o, const uint32_t* words, int64_t pitch) {
  if (pixels == Pixels) return tile<Pixels, Vectors>(p, j, o, words, pitch);
  if constexpr (Pixels > 1) tile_of<Pixels - 1, Vectors>(p, j, pixels, o, words, pitch);
}

// All pixels, in tiles of nearly equal width.
template <int MostPixels, int Vectors, class X> void panel(const Int8Row<X>& p, const Int8Panel& at) {
  const uint32_t* words = p.words + at.begin * (9 * p.cin / 4);
  const int64_t tiles = (p.w + MostPixels - 1) / MostPixels;
  for (int64_t o = 0; o < at.columns; o += Vectors * kLanes)
    for (int64_t t = 0, j = 0; t < tiles; ++t) {
      const int64_t end = p.w * (t + 1) / tiles;
      tile_of<MostPixels, Vectors>(p, j, end - j, at.begin + o, words + o, at.columns);
      j = end;
    }
}

}  // namespace

template <class X> void quantize(const X* x, int64_t n, Quantisation<float> q, uint8_t* bytes) {
  const float zero = float(q.zero);
  const Vec inverse = splat(q.inverse), least = splat(-zero), most = splat(255 - zero);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Whole whole = nearest(clamped(load(x + i) * inverse, least, most)) + q.zero;
    *reinterpret_cast<Bytes*>(bytes + i) = __builtin_convertvector(whole, Bytes);
  }
  for (; i < n; ++i)
    bytes[i] = uint8_t(nearest(clamped(splat(float(x[i])) * inverse, least, most))[0] + q.zero);
}
template void quantize(const float*, int64_t, Quantisation<float>, uint8_t*);
template void quantize(const bf16*, int64_t, Quantisation<float>, uint8_t*);

void quantize_weight(
    const float* w, int64_t rows, int64_t cout, uint32_t* words, int64_t pitch, float* step, uint32_t* sum) {
  for (int64_t o = 0; o < 16; o += kLanes) {
    Vec most{}, nothing{};  // nothing: 0, but NaN where a number is none
    for (int64_t r = 0; r < rows; ++r) {
      const Vec v = load(w + r * cout + o), size = v < 0 ? -v : v;
      most = size > most ? size : most;
      nothing += v * 0.f;
    }
    store(step + o, most / 127.f + nothing);
    const Vec inverse = most > 0 ? 127.f / most : Vec{};
    Whole total{};
    for (int64_t r = 0; r < rows; r += 4) {
      Bits word{};
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        const Vec v = load(w + (r + i) * cout + o) * inverse;
        const Whole whole = nearest(clamped(v, splat(-127.f), splat(127.f)));
        total += whole;
        word |= (Bits(whole) & 255) << (8 * i);
      }
      store(words + r / 4 * pitch + o, word);
    }
    store(sum + o, Bits(total));
  }
}

// Tiles that fill the register file: up to 24 of AVX-512's 32 registers hold sums.
template <class X> void int8_row(const Int8Row<X>& p) {
  Int8Panel at{};
  for (int64_t o = 0; o < p.cout; o += at.columns) {
    at = panel_of(o, p.cout);
    if constexpr (kLanes < 16) panel<kLanes / 2, 16 / kLanes>(p, at);
    else if (at.columns == 64) panel<6, 4>(p, at);
    else if (at.columns == 32) panel<12, 2>(p, at);
    else panel<16, 1>(p, at);
  }
}
template void int8_row(const Int8Row<float>&);
template void int8_row(const Int8Row<bf16>&);

template <class X> void finish_bytes(const Int8Finish<X>& p) {
  for (int64_t c = 0; c < p.channels; c += kLanes) {
    const End end(p, c);
    for (int64_t i = 0; i < p.pixels; ++i)
      store(p.y + i * p.y_pitch + c,
          end.of(load(reinterpret_cast<const uint32_t*>(p.sum) + i * p.sum_pitch + c)));
  }
}
template void finish_bytes(const Int8Finish<float>&);
template void finish_bytes(const Int8Finish<bf16>&);

}  // namespace patchcl::PATCHCL_ISA
