#include "autograd/ops/conv2d_direct_kernels.h"

namespace patchcl::PATCHCL_ISA {
namespace {

// ---- forward, 16 or 32 outputs ----

// Pixels per tile of 16 and of 32 output channels, so that sums, three taps and a pixel fill the register
// file.
constexpr int by_lanes(int sixteen, int eight, int fewer) {
  if (kLanes == 16) return sixteen;
  return kLanes == 8 ? eight : fewer;
}
constexpr int kPixels16 = by_lanes(16, 4, 2);
constexpr int kPixels32 = by_lanes(8, 2, 1);

// Channels of every source, when it is known here: the pixels' addresses are then constants. 0: read from the
// source. The first `done` pixels were written by the tile before.
template <int Pixels, int Vectors, int Channels, bool Left, bool Right, class X>
void forward_tile(const DirectForward<X>& p, int64_t i, int64_t j, int64_t done) {
  Vec sum[Pixels][Vectors];
#pragma GCC unroll 8
  for (int v = 0; v < Vectors; ++v) {
    const Vec start = p.end.bias && !p.end.scale ? load(p.end.bias + v * kLanes) : Vec{};
#pragma GCC unroll 16
    for (int q = 0; q < Pixels; ++q) sum[q][v] = start;
  }
  const int64_t cin = p.x.channels();
  const float* weight = p.weight;
  for (int64_t u = 0; u < 3; ++u) {
    if (i + u < 1 || i + u > p.h) {
      weight += cin * 3 * Vectors * kLanes;
      continue;
    }
    for (const ConvSource<const X>& source : p.x) {
      const int64_t channels = Channels ? Channels : source.count;
      const X* x = source.data + ((p.image * p.h + i + u - 1) * p.w + j - 1) * channels;
      for (int64_t c = 0; c < channels; ++c, weight += 3 * Vectors * kLanes) {
        Vec tap[3][Vectors];
#pragma GCC unroll 3
        for (int t = 0; t < 3; ++t)
#pragma GCC unroll 8
          for (int v = 0; v < Vectors; ++v) tap[t][v] = load(weight + (t * Vectors + v) * kLanes);
#pragma GCC unroll 32
        for (int q = Left; q < Pixels + 2 - Right; ++q) {
          const Vec in = splat(x[q * channels + c]);
#pragma GCC unroll 3
          for (int t = 0; t < 3; ++t)
            if (q - t >= 0 && q - t < Pixels)
#pragma GCC unroll 8
              for (int v = 0; v < Vectors; ++v) sum[q - t][v] += in * tap[t][v];
        }
      }
    }
  }
  if (p.end.scale)
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) {
      const Vec scale = load(p.end.scale + v * kLanes), bias = load(p.end.bias + v * kLanes);
#pragma GCC unroll 16
      for (int q = 0; q < Pixels; ++q) {
        const Vec z = scale * sum[q][v] + bias;
        sum[q][v] = z > 0 ? z : z * p.end.slope;
      }
    }
  X* y = p.y + (i * p.w + j) * p.y_channels;
#pragma GCC unroll 16
  for (int q = 0; q < Pixels; ++q) {
    if (Right && q < done) continue;
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) {
      X* to = y + q * p.y_channels + v * kLanes;
      store(to, p.accumulate ? sum[q][v] + load(to) : sum[q][v]);
    }
  }
}

// Runs tile(i, j, done, left edge?, right edge?) over all pixels; the flags are types: each pair has its own
// code.
template <bool B> struct Flag { static constexpr bool value = B; };
template <int Pixels, class X, class Tile> SIMD_INLINE void for_tiles(const DirectForward<X>& p, Tile tile) {
  for (int64_t i = p.row_begin; i < p.row_end; ++i) {
    if (p.w == Pixels) {
      tile(i, 0, 0, Flag<true>(), Flag<true>());
      continue;
    }
    tile(i, 0, 0, Flag<true>(), Flag<false>());
    int64_t j = Pixels;
    for (; j + Pixels < p.w; j += Pixels) tile(i, j, 0, Flag<false>(), Flag<false>());
    tile(i, p.w - Pixels, j + Pixels - p.w, Flag<false>(), Flag<true>());
  }
}

template <int Pixels, int Vectors, int Channels, class X> void forward_rows(const DirectForward<X>& p) {
  for_tiles<Pixels>(p, [&](int64_t i, int64_t j, int64_t done, auto left, auto right) {
    forward_tile<Pixels, Vectors, Channels, left.value, right.value>(p, i, j, done);
  });
}

template <int Pixels, int Vectors, class X> void forward(const DirectForward<X>& p) {
  if (p.w < Pixels) return forward_rows<1, Vectors, 0>(p);
  bool all16 = true;
  for (const ConvSource<const X>& source : p.x) all16 &= source.count == 16;
  all16 ? forward_rows<Pixels, Vectors, 16>(p) : forward_rows<Pixels, Vectors, 0>(p);
}

// ---- forward, up to 4 outputs ----

template <int Pixels, bool Left, bool Right, class X>
void narrow_tile(const DirectNarrow<X>& n, int64_t i, int64_t j, int64_t done) {
  const DirectForward<X>& p = n.p;
  Vec sum[kLanes] = {};  // [pixel][output]
  const int64_t cin = p.x.channels();
  for (int64_t u = 0; u < 3; ++u) {
    if (i + u < 1 || i + u > p.h) continue;
    for (const ConvSource<const X>& source : p.x) {
      const int64_t channels = source.count;
      const X* x = source.data + ((p.image * p.h + i + u - 1) * p.w + j - 1) * channels;
      const float* weight = p.weight + u * 12 * cin + source.begin;
      for (int64_t c = 0; c < channels; c += kLanes) {
        Vec in[Pixels + 2];
#pragma GCC unroll 8
        for (int q = Left; q < Pixels + 2 - Right; ++q) in[q] = load(x + q * channels + c);
#pragma GCC unroll 3
        for (int t = 0; t < 3; ++t)
#pragma GCC unroll 4
          for (int o = 0; o < 4; ++o) {
            const Vec tap = load(weight + (t * 4 + o) * cin + c);
#pragma GCC unroll 4
            for (int q = 0; q < Pixels; ++q)
              if (q + t >= Left && q + t < Pixels + 2 - Right) sum[q * 4 + o] += in[q + t] * tap;
          }
      }
    }
  }
  const Vec all = sum_each(sum) + (p.end.bias ? load(p.end.bias) : Vec{});
  X* y = p.y + (i * p.w + j) * p.y_channels;
  if (Pixels * 4 == kLanes && p.y_channels == 4 && done == 0) {
    store(y, p.accumulate ? load(y) + all : all);
    return;
  }
  for (int64_t q = done; q < Pixels; ++q)
    for (int o = 0; o < n.outputs; ++o) {
      X& to = y[q * p.y_channels + o];
      to = p.accumulate ? float(to) + all[q * 4 + o] : all[q * 4 + o];
    }
}

template <int Pixels, class X> void narrow(const DirectNarrow<X>& n) {
  for_tiles<Pixels>(n.p, [&](int64_t i, int64_t j, int64_t done, auto left, auto right) {
    narrow_tile<Pixels, left.value, right.value>(n, i, j, done);
  });
}

// ---- weight gradient ----

// Scalar pixel q meets the vector pixels q - 1, q, q + 1: sum[d] belongs to the neighbour q - 1 + d.
template <int Count, bool Left, bool Right, class X> SIMD_INLINE void weight_pixel(
    const X* scalars, const X* vectors, int64_t pitch, Vec (*sum)[Count][16 / kLanes]) {
  Vec neighbour[3][16 / kLanes];
#pragma GCC unroll 3
  for (int d = Left; d < 3 - Right; ++d)
#pragma GCC unroll 4
    for (int v = 0; v < 16 / kLanes; ++v) neighbour[d][v] = load(vectors + (d - 1) * pitch + v * kLanes);
#pragma GCC unroll 8
  for (int c = 0; c < Count; ++c) {
    const Vec in = splat(scalars[c]);
#pragma GCC unroll 3
    for (int d = Left; d < 3 - Right; ++d)
#pragma GCC unroll 4
      for (int v = 0; v < 16 / kLanes; ++v) sum[d][c][v] += in * neighbour[d][v];
  }
}

template <int Count, class X> void weight_tile(const DirectWeight<X>& p, int64_t c, int64_t u) {
  Vec sum[3][Count][16 / kLanes];
  // x[j + v - 1] meets dy[j]: seen from x, dy is the neighbour 1 - (v - 1); seen from dy, x is the neighbour
  // v - 1.
  const auto at = [&](int d, int k) {
    return p.sum + (u * 3 + (p.vectors_are_dy ? 2 - d : d)) * p.tap_stride + (c + k) * p.channel_stride;
  };
#pragma GCC unroll 3
  for (int d = 0; d < 3; ++d)
#pragma GCC unroll 8
    for (int k = 0; k < Count; ++k)
#pragma GCC unroll 4
      for (int v = 0; v < 16 / kLanes; ++v) sum[d][k][v] = load(at(d, k) + v * kLanes);
  for (int64_t i = p.row_begin; i < p.row_end; ++i) {
    const int64_t ix = i + u - 1;
    if (ix < 0 || ix >= p.h) continue;
    const X* scalars = p.scalars + (p.vectors_are_dy ? ix : i) * p.w * p.scalar_pitch + c;
    const X* vectors = p.vectors + (p.vectors_are_dy ? i : ix) * p.w * p.vector_pitch;
    if (p.w == 1) {
      weight_pixel<Count, true, true>(scalars, vectors, p.vector_pitch, sum);
      continue;
    }
    weight_pixel<Count, true, false>(scalars, vectors, p.vector_pitch, sum);
    for (int64_t q = 1; q < p.w - 1; ++q)
      weight_pixel<Count, false, false>(
          scalars + q * p.scalar_pitch, vectors + q * p.vector_pitch, p.vector_pitch, sum);
    weight_pixel<Count, false, true>(
        scalars + (p.w - 1) * p.scalar_pitch, vectors + (p.w - 1) * p.vector_pitch, p.vector_pitch, sum);
  }
#pragma GCC unroll 3
  for (int d = 0; d < 3; ++d)
#pragma GCC unroll 8
    for (int k = 0; k < Count; ++k)
#pragma GCC unroll 4
      for (int v = 0; v < 16 / kLanes; ++v) store(at(d, k) + v * kLanes, sum[d][k][v]);
}

// Channels [c, channels) in tiles of Count, what is left over in tiles of half the size.
template <int Count, class X> void weight_tiles(const DirectWeight<X>& p, int64_t c) {
  for (; c + Count <= p.channels; c += Count)
    for (int64_t u = 0; u < 3; ++u) weight_tile<Count>(p, c, u);
  if constexpr (Count > 1) weight_tiles<Count / 2>(p, c);
}

}  // namespace

template <class X> void direct_forward(const DirectForward<X>& p, int channels) {
  channels == 32 ? forward<kPixels32, 32 / kLanes>(p) : forward<kPixels16, 16 / kLanes>(p);
}

template <class X> void direct_narrow(const DirectNarrow<X>& p) {
  constexpr int pixels = kLanes / 4;
  p.p.w < pixels ? narrow<1>(p) : narrow<pixels>(p);
}

template <class X> void direct_weight(const DirectWeight<X>& p) { weight_tiles<by_lanes(8, 2, 1)>(p, 0); }

template <class X>
void direct_bias(const X* dy, int64_t pixels, int64_t pitch, int64_t channels, double* sum) {
  int64_t c = 0;
  for (; c + kLanes <= channels; c += kLanes) {
    Vec total[4] = {};
    for (int64_t q = 0; q < pixels; ++q) total[q % 4] += load(dy + q * pitch + c);
    const Vec all = (total[0] + total[1]) + (total[2] + total[3]);
    for (int k = 0; k < kLanes; ++k) sum[c + k] += double(all[k]);
  }
  for (; c < channels; ++c)
    for (int64_t q = 0; q < pixels; ++q) sum[c] += double(dy[q * pitch + c]);
}

#define DIRECT_FOR(X)                                         \
  template void direct_forward(const DirectForward<X>&, int); \
  template void direct_narrow(const DirectNarrow<X>&);        \
  template void direct_weight(const DirectWeight<X>&);        \
  template void direct_bias(const X*, int64_t, int64_t, int64_t, double*);
DIRECT_FOR(float)
DIRECT_FOR(bf16)

}  // namespace patchcl::PATCHCL_ISA
