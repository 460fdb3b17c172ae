#include "autograd/ops/conv2d_winograd_kernels.h"

namespace patchcl::PATCHCL_ISA {
namespace {

constexpr float kRoot = 1.41421356237309505f;  // sqrt(2)

// The five one-dimensional transforms, each on registers of kLanes channels.
struct InputTransform {  // B^T d
  static constexpr int in = 6, out = 6;
  SIMD_INLINE void apply(const Vec* d, Vec* o) {
    const Vec a = d[4] - 2 * d[2], b = kRoot / 2 * (d[3] - 2 * d[1]), c = d[4] - 0.5f * d[2],
              e = kRoot * (d[3] - 0.5f * d[1]);
    o[0] = d[0] - 2.5f * d[2] + d[4];
    o[1] = a + b;
    o[2] = a - b;
    o[3] = c + e;
    o[4] = c - e;
    o[5] = d[1] - 2.5f * d[3] + d[5];
  }
};
struct OutputTransform {  // A^T m
  static constexpr int in = 6, out = 4;
  SIMD_INLINE void apply(const Vec* m, Vec* o) {
    const Vec a = m[1] + m[2], b = m[1] - m[2], c = m[3] + m[4], d = m[3] - m[4];
    o[0] = m[0] + a + c;
    o[1] = kRoot / 2 * b + kRoot * d;
    o[2] = 0.5f * a + 2 * c;
    o[3] = kRoot / 4 * b + 2 * kRoot * d + m[5];
  }
};
struct GradientTransform {  // A y
  static constexpr int in = 4, out = 6;
  SIMD_INLINE void apply(const Vec* y, Vec* o) {
    const Vec a = y[0] + 0.5f * y[2], b = kRoot / 2 * y[1] + kRoot / 4 * y[3];
    const Vec c = y[0] + 2 * y[2], d = kRoot * y[1] + 2 * kRoot * y[3];
    o[0] = y[0];
    o[1] = a + b;
    o[2] = a - b;
    o[3] = c + d;
    o[4] = c - d;
    o[5] = y[3];
  }
};
struct WeightTransform {  // G w
  static constexpr int in = 3, out = 6;
  SIMD_INLINE void apply(const Vec* w, Vec* o) {
    const Vec a = -2 / 3.f * w[0] - 1 / 3.f * w[2], b = kRoot / 3 * w[1], c = 1 / 6.f * w[0] + 1 / 3.f * w[2],
              d = kRoot / 6 * w[1];
    o[0] = w[0];
    o[1] = a - b;
    o[2] = a + b;
    o[3] = c + d;
    o[4] = c - d;
    o[5] = w[2];
  }
};
struct WeightGradientTransform {  // G^T u
  static constexpr int in = 6, out = 3;
  SIMD_INLINE void apply(const Vec* u, Vec* o) {
    const Vec a = u[1] + u[2], b = u[3] + u[4];
    o[0] = u[0] - 2 / 3.f * a + 1 / 6.f * b;
    o[1] = kRoot / 3 * (u[2] - u[1]) + kRoot / 6 * (u[3] - u[4]);
    o[2] = u[5] + 1 / 3.f * (b - a);
  }
};

// T X T^T: read(i, j) gives X, write(i, j, value) takes the result. The outer loops stay loops: unrolled, the
// compiler would compute all 36 addresses beforehand, which costs more than the arithmetic where there are
// few channels.
template <class T, class Read, class Write> SIMD_INLINE void transform(Read read, Write write) {
  Vec half[T::in][T::out];
#pragma GCC unroll 1
  for (int i = 0; i < T::in; ++i) {
    Vec row[T::in];
#pragma GCC unroll 6
    for (int j = 0; j < T::in; ++j) row[j] = read(i, j);
    T::apply(row, half[i]);
  }
#pragma GCC unroll 1
  for (int j = 0; j < T::out; ++j) {
    Vec column[T::in], o[T::out];
#pragma GCC unroll 6
    for (int i = 0; i < T::in; ++i) column[i] = half[i][j];
    T::apply(column, o);
#pragma GCC unroll 6
    for (int i = 0; i < T::out; ++i) write(i, j, o[i]);
  }
}

// Where the transform of one row goes, from one channel on.
template <WinogradForm Form> class Destination {
 public:
  SIMD_INLINE Destination of(const WinogradPoints<float>& to, int64_t row, int64_t channel) {
    const bool halved = Form == WinogradForm::bf16_channels;
    Destination d;
    d.at_ = to.from_row(row).data + (halved ? channel / 2 : channel);
    d.point_ = to.point;
    d.odd_ = row & 1;
    return d;
  }
  __attribute__((always_inline)) void put(int64_t k, int64_t channel, Vec value) const {
    float* cells = at_ + k * point_;
    if constexpr (Form == WinogradForm::f32) store(cells + channel, value);
    else if constexpr (Form == WinogradForm::bf16_channels)
      *reinterpret_cast<HalvesUnaligned*>(cells + channel / 2) = narrowed(value);
    else {
      uint32_t* pair = reinterpret_cast<uint32_t*>(cells + channel);
      const Bits half = __builtin_convertvector(narrowed(value), Bits);
      store(pair, odd_ ? load(pair) | half << 16 : half);
    }
  }

 private:
  float* at_ = nullptr;
  int64_t point_ = 0;
  bool odd_ = false;
};

// fn(a Destination) for the form of these points; its value does not matter.
template <class F> SIMD_INLINE void with_form(const WinogradPoints<float>& p, F fn) {
  using Form = WinogradForm;
  if (p.form == Form::f32) fn(Destination<Form::f32>());
  if (p.form == Form::bf16_channels) fn(Destination<Form::bf16_channels>());
  if (p.form == Form::bf16_rows) fn(Destination<Form::bf16_rows>());
}

// fn(number within the range, image, row of the tile, column of the tile), the latter in pixels of y.
template <class F> SIMD_INLINE void for_tiles(const WinogradTiles& t, F fn) {
  const int64_t across = t.across(), per_image = t.per_image();
  for (int64_t k = 0; k < t.count; ++k) {
    const int64_t tile = t.first + k;
    fn(k, tile / per_image, tile % per_image / across * 4, tile % across * 4);
  }
}

// Reads a square patch of an image, zeros outside it; `at` points at channel 0 of the patch's corner (y0,
// x0).
template <class X> struct InputPatch {
  const X* at;
  int64_t h, w, channels, y0, x0;
  bool inside(int size) const { return y0 >= 0 && x0 >= 0 && y0 + size <= h && x0 + size <= w; }
  template <bool Inside> __attribute__((always_inline)) Vec read(int i, int j, int64_t c) const {
    static const X zeros[kLanes] = {};
    const X* from = at + (i * w + j) * channels + c;
    if (!Inside && (uint64_t(y0 + i) >= uint64_t(h) || uint64_t(x0 + j) >= uint64_t(w))) from = zeros;
    return load(from);
  }
};

template <class V, class X> void input(const WinogradInput<X>& p) {
  for_tiles(p.tiles, [&](int64_t k, int64_t image, int64_t row, int64_t column) {
    for (const ConvSource<const X>& x : p.x) {
      const InputPatch<X> d{x.data + ((image * p.tiles.h + row - 1) * p.tiles.w + column - 1) * x.count,
          p.tiles.h, p.tiles.w, x.count, row - 1, column - 1};
      const V v = V::of(p.v, k, x.begin);
      const bool inside = d.inside(6);
      for (int64_t c = 0; c < x.count; c += kLanes) {
        const auto write = [&](int i, int j, Vec value) { v.put(i * 6 + j, c, value); };
        if (inside)
          transform<InputTransform>([&](int i, int j) { return d.template read<true>(i, j, c); }, write);
        else transform<InputTransform>([&](int i, int j) { return d.template read<false>(i, j, c); }, write);
      }
    }
  });
}

template <class Z, class X> void gradient(const WinogradGradient<X>& p) {
  for_tiles(p.tiles, [&](int64_t k, int64_t image, int64_t row, int64_t column) {
    const InputPatch<X> d{p.dy + ((image * p.tiles.h + row) * p.tiles.w + column) * p.channels, p.tiles.h,
        p.tiles.w, p.channels, row, column};
    const Z z = Z::of(p.z, k, 0);
    const bool inside = d.inside(4);
    for (int64_t c = 0; c < p.channels; c += kLanes) {
      Vec sum = {};
      const auto write = [&](int i, int j, Vec value) { z.put(i * 6 + j, c, value); };
      const auto count = [&](Vec value) { return sum += value, value; };
      if (inside)
        transform<GradientTransform>(
            [&](int i, int j) { return count(d.template read<true>(i, j, c)); }, write);
      else
        transform<GradientTransform>(
            [&](int i, int j) { return count(d.template read<false>(i, j, c)); }, write);
      if (p.bias) store(p.bias + c, load(p.bias + c) + sum);
    }
  });
}

template <class U> void weight(const WinogradWeight& p) {
  const auto write_at = [&](int64_t row, int64_t column) {
    return [u = U::of(p.u, row, column)](int i, int j, Vec value) { u.put(i * 6 + j, 0, value); };
  };
  for (int64_t row = 0; row < p.rows; row += kLanes)
    for (int64_t column = 0; column < p.columns; column += kLanes) {
      if (!p.transposed) {
        for (int64_t r = row; r < row + kLanes; ++r)
          transform<WeightTransform>(
              [&](int i, int j) { return load(p.w + (i * 3 + j) * p.tap + r * p.pitch + column); },
              write_at(r, column));
        continue;
      }
      Vec taps[9][kLanes];
      for (int t = 0; t < 9; ++t) {
        for (int k = 0; k < kLanes; ++k) taps[t][k] = load(p.w + t * p.tap + (column + k) * p.pitch + row);
        transpose(taps[t]);
      }
      for (int r = 0; r < kLanes; ++r)
        transform<WeightTransform>(
            [&](int i, int j) { return taps[i * 3 + j][r]; }, write_at(row + r, column));
    }
}

}  // namespace

template <class X> void winograd_input(const WinogradInput<X>& p) {
  with_form(p.v, [&](auto form) { input<decltype(form)>(p); });
}

template <class X> void winograd_gradient(const WinogradGradient<X>& p) {
  with_form(p.z, [&](auto form) { gradient<decltype(form)>(p); });
}

void winograd_weight(const WinogradWeight& p) {
  with_form(p.u, [&](auto form) { weight<decltype(form)>(p); });
}

template <class X> void winograd_output(const WinogradOutput<X>& p) {
  for_tiles(p.tiles, [&](int64_t k, int64_t image, int64_t row, int64_t column) {
    const float* m = p.m.data + k * p.m.pitch;
    X* y = p.y + ((image * p.tiles.h + row) * p.tiles.w + column) * p.y_channels;
    const int64_t rows = p.tiles.h - row, columns = p.tiles.w - column;
    for (int64_t c = 0; c < p.channels; c += kLanes) {
      const Vec bias = p.end.bias ? load(p.end.bias + c) : Vec{};
      const auto read = [&](int i, int j) { return load(m + (i * 6 + j) * p.m.point + c); };
      const auto write = [&](auto finish) {
        transform<OutputTransform>(read, [&](int i, int j, Vec sum) {
          if (i >= rows || j >= columns) return;
          X* to = y + (i * p.tiles.w + j) * p.y_channels + c;
          const Vec value = finish(sum);
          store(to, p.accumulate ? load(to) + value : value);
        });
      };
      if (!p.end.scale) {
        write([&](Vec sum) { return sum + bias; });
      } else {
        const Vec scale = load(p.end.scale + c);
        write([&](Vec sum) {
          const Vec z = scale * sum + bias;
          return z > 0 ? z : z * p.end.slope;
        });
      }
    }
  });
}

void winograd_weight_gradient(const WinogradWeightGradient& p) {
  for (int64_t row = 0; row < p.rows; ++row)
    for (int64_t column = 0; column < p.columns; column += kLanes) {
      const auto read = [&](int i, int j) {
        const float* u = p.u.data + (i * 6 + j) * p.u.point + row * p.u.pitch + column;
        Vec sum = load(u);
        for (int64_t g = 1; g < p.groups; ++g) sum += load(u + g * p.group);
        return sum;
      };
      transform<WeightGradientTransform>(read, [&](int i, int j, Vec value) {
        float* to = p.dw + (i * 3 + j) * p.tap + row * p.pitch + column;
        store(to, p.accumulate ? load(to) + value : value);
      });
    }
}

template void winograd_input(const WinogradInput<float>&);
template void winograd_input(const WinogradInput<bf16>&);
template void winograd_gradient(const WinogradGradient<float>&);
template void winograd_gradient(const WinogradGradient<bf16>&);
template void winograd_output(const WinogradOutput<float>&);
template void winograd_output(const WinogradOutput<bf16>&);

}  // namespace patchcl::PATCHCL_ISA
