#include "autograd/ops/conv2d_tiles_kernels.h"

namespace patchcl::PATCHCL_ISA {

void finish_pixels(const FinishedPixels& p) {
  for (int64_t c = 0; c < p.channels; c += kLanes) {
    const Vec bias = p.end.bias ? load(p.end.bias + c) : Vec{},
              scale = p.end.scale ? load(p.end.scale + c) : splat(1.f), slope = splat(p.end.slope);
    for (int64_t i = 0; i < p.pixels; ++i) {
      bf16* y = p.y + i * p.y_pitch + c;
      Vec v = load(p.sum + i * p.sum_pitch + c) * scale + bias;
      if (p.end.scale) v = v >= 0 ? v : v * slope;
      if (p.accumulate) v += load(y);
      store(y, v);
    }
  }
}

void turn_pixels(const bf16* x, int64_t pixels, int64_t pitch, int64_t channels, bf16* to, int64_t to_pitch) {
  const int64_t whole = pixels - pixels % kLanes;
  for (int64_t c = 0; c < channels; c += kLanes)
    for (int64_t i = 0; i < whole; i += kLanes) {
      Vec v[kLanes];
      for (int r = 0; r < kLanes; ++r) v[r] = load(x + (i + r) * pitch + c);
      transpose(v);
      for (int r = 0; r < kLanes; ++r)
        *reinterpret_cast<HalvesUnaligned*>(to + (c + r) * to_pitch + i) =
            __builtin_convertvector((Bits)v[r] >> 16, Halves);
    }
  for (int64_t c = 0; c < channels; ++c)
    for (int64_t i = whole; i < pixels; ++i) to[c * to_pitch + i] = x[i * pitch + c];
}

void pair_pixels(const bf16* x, int64_t pixels, int64_t channels, uint32_t* to, int64_t pairs) {
  for (int64_t k = 0; k < pairs; ++k, x += 2 * channels, to += channels)
    for (int64_t c = 0; c < channels; c += kLanes) {
      const Bits even = 2 * k < pixels ? (Bits)load(x + c) >> 16 : Bits{},
                 odd = 2 * k + 1 < pixels ? (Bits)load(x + channels + c) : Bits{};
      store(to + c, even | odd);
    }
}

void pair_weights(const float* w, int64_t row, int64_t column, int64_t cout, uint32_t* to) {
  for (int64_t o = 0; o < cout; o += kLanes)
    for (int64_t c = 0; c < 16; c += kLanes) {
      Vec v[kLanes];  // of channel c + r, outputs o ..
      if (column == 1) {
        for (int r = 0; r < kLanes; ++r) v[r] = load(w + (c + r) * row + o);
      } else {
        for (int r = 0; r < kLanes; ++r) v[r] = load(w + (o + r) * column + c);
        transpose(v);
      }
      for (int r = 0; r < kLanes; r += 2) {
        const Bits even = __builtin_convertvector(narrowed(v[r]), Bits),
                   odd = __builtin_convertvector(narrowed(v[r + 1]), Bits);
        store(to + (c + r) / 2 * cout + o, even | odd << 16);
      }
    }
}

}  // namespace patchcl::PATCHCL_ISA
