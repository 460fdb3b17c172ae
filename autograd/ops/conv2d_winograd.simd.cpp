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

// T X T^T: source.read(j) is element j of X's row, the first and after next() the following ones;
// target.put(i, value) takes row i of the result's column, target.next() goes to the next. All loops are
// unrolled, so that what X T^T is made of stays in registers as far as they go.
template <class T, class Source, class Target> SIMD_INLINE void transform(Source source, Target target) {
  Vec half[T::in][T::out];
#pragma GCC unroll 6
  for (int i = 0; i < T::in; ++i, source.next()) {
    Vec row[T::in];
#pragma GCC unroll 6
    for (int j = 0; j < T::in; ++j) row[j] = source.read(j);
    T::apply(row, half[i]);
  }
#pragma GCC unroll 6
  for (int j = 0; j < T::out; ++j, target.next()) {
    Vec column[T::in], o[T::out];
#pragma GCC unroll 6
    for (int i = 0; i < T::in; ++i) column[i] = half[i][j];
    T::apply(column, o);
#pragma GCC unroll 6
    for (int i = 0; i < T::out; ++i) target.put(i, o[i]);
  }
}

// Rows of a matrix in memory.
template <class X> class Matrix {
 public:
  SIMD_MEMBER Matrix(const X* at, int64_t row, int64_t column) : columns_(at, column), row_(row) {}
  SIMD_MEMBER Vec read(int j) const { return load(columns_[j]); }
  SIMD_MEMBER void next() { columns_.move(row_); }

 private:
  Strided<const X> columns_;
  int64_t row_;
};

// Where the transform of one row goes, from one channel on: point (i, j) is number 6 i + j.
template <WinogradForm Form> class Destination {
 public:
  static constexpr bool halved = Form == WinogradForm::bf16_channels;
  SIMD_MEMBER Destination(const WinogradPoints<float>& to, int64_t row, int64_t channel)
      : rows_(to.from_row(row).data + (halved ? channel / 2 : channel), 6 * to.point), point_(to.point),
        odd_(row & 1) {}
  SIMD_MEMBER void put(int i, Vec value) const {
    float* cells = rows_[i];
    if constexpr (Form == WinogradForm::f32) store(cells, value);
    else if constexpr (halved) *reinterpret_cast<HalvesUnaligned*>(cells) = narrowed(value);
    else {
      uint32_t* pair = reinterpret_cast<uint32_t*>(cells);
      const Bits half = __builtin_convertvector(narrowed(value), Bits);
      store(pair, odd_ ? load(pair) | half << 16 : half);
    }
  }
  SIMD_MEMBER void next() { rows_.move(point_); }

 private:
  Strided<float> rows_;
  int64_t point_;
  bool odd_;
};

// fn of the Destination for the form of these points.
template <class F> SIMD_INLINE void with_form(const WinogradPoints<float>& p, F fn) {
  using Form = WinogradForm;
  if (p.form == Form::f32) fn.template operator()<Destination<Form::f32>>();
  if (p.form == Form::bf16_channels) fn.template operator()<Destination<Form::bf16_channels>>();
  if (p.form == Form::bf16_rows) fn.template operator()<Destination<Form::bf16_rows>>();
}

// fn(number within the range, image, row of the tile, column of the tile), the latter in pixels of y.
template <class F> SIMD_INLINE void for_tiles(const WinogradTiles& t, F fn) {
  const int64_t per_image = t.per_image(), within = t.first % per_image;
  int64_t image = t.first / per_image, row = within / t.across() * 4, column = within % t.across() * 4;
  for (int64_t k = 0; k < t.count; ++k) {
    fn(k, image, row, column);
    if ((column += 4) < t.w) continue;
    column = 0;
    if ((row += 4) < t.h) continue;
    row = 0;
    ++image;
  }
}

// A square of an image's pixels, from (y0, x0) on, with zeros outside of the image; `at` points at its first
// pixel, there or not.
template <int Size, class X> struct Square {
  const X* at;
  int64_t h, w, channels, y0, x0;

  // fn(a Matrix) of kLanes channels from c on. What reaches over the edge is copied first.
  template <class F> SIMD_MEMBER void with(int64_t c, F fn) const {
    if (y0 >= 0 && x0 >= 0 && y0 + Size <= h && x0 + Size <= w)
      return fn(Matrix<X>(at + c, w * channels, channels));
    static const X zeros[kLanes] = {};
    X copy[Size * Size * kLanes];
    for (int i = 0; i < Size; ++i)
      for (int j = 0; j < Size; ++j) {
        const bool exists = uint64_t(y0 + i) < uint64_t(h) && uint64_t(x0 + j) < uint64_t(w);
        const X* from = exists ? at + (i * w + j) * channels + c : zeros;
        __builtin_memcpy(copy + (i * Size + j) * kLanes, from, sizeof(X) * kLanes);
      }
    fn(Matrix<X>(copy, Size * kLanes, kLanes));
  }
};

// Asks for 4 x 4 pixels some tiles further along the row, which are read (or, with Write, written) a little
// later: a task's tiles are too short a walk for the processor to notice.
template <int Write, class X>
SIMD_INLINE void ask_ahead(const X* at, int64_t w, int64_t pixel, int64_t channels) {
  constexpr int64_t tiles = 8, line = 64 / sizeof(X);
  for (int64_t i = 0; i < 4; ++i)
    for (int64_t j = 4 * tiles; j < 4 * tiles + 4; ++j)
      for (int64_t c = 0; c < channels; c += line)
        __builtin_prefetch(at + (i * w + j) * pixel + c, Write, /*second-level cache*/ 2);
}

template <class V, class X> void input(const WinogradInput<X>& p) {
  for_tiles(p.tiles, [&](int64_t k, int64_t image, int64_t row, int64_t column) {
    for (const ConvSource<const X>& x : p.x) {
      const Square<6, X> d{x.data + ((image * p.tiles.h + row - 1) * p.tiles.w + column - 1) * x.count,
          p.tiles.h, p.tiles.w, x.count, row - 1, column - 1};
      ask_ahead<0>(d.at + (2 * d.w + 1) * x.count, d.w, x.count, x.count);
      for (int64_t c = 0; c < x.count; c += kLanes)
        d.with(c, [&](Matrix<X> patch) { transform<InputTransform>(patch, V(p.v, k, x.begin + c)); });
    }
  });
}

// Adds what is read to a sum.
template <class X> struct Summed {
  Matrix<X> of;
  Vec* sum;
  SIMD_MEMBER Vec read(int j) const {
    const Vec value = of.read(j);
    *sum += value;
    return value;
  }
  SIMD_MEMBER void next() { of.next(); }
};

template <class Z, class X> void gradient(const WinogradGradient<X>& p) {
  for_tiles(p.tiles, [&](int64_t k, int64_t image, int64_t row, int64_t column) {
    const Square<4, X> d{p.dy + ((image * p.tiles.h + row) * p.tiles.w + column) * p.channels, p.tiles.h,
        p.tiles.w, p.channels, row, column};
    ask_ahead<0>(d.at, d.w, p.channels, p.channels);
    for (int64_t c = 0; c < p.channels; c += kLanes) {
      Vec sum = {};
      d.with(c, [&](Matrix<X> patch) { transform<GradientTransform>(Summed<X>{patch, &sum}, Z(p.z, k, c)); });
      if (p.bias) store(p.bias + c, load(p.bias + c) + sum);
    }
  });
}

template <class U> void weight(const WinogradWeight& p) {
  for (int64_t row = 0; row < p.rows; row += kLanes)
    for (int64_t column = 0; column < p.columns; column += kLanes) {
      if (!p.transposed) {
        for (int64_t r = row; r < row + kLanes; ++r)
          transform<WeightTransform>(
              Matrix<float>(p.w + r * p.pitch + column, 3 * p.tap, p.tap), U(p.u, r, column));
        continue;
      }
      Vec taps[9][kLanes];
      for (int t = 0; t < 9; ++t) {
        for (int k = 0; k < kLanes; ++k) taps[t][k] = load(p.w + t * p.tap + (column + k) * p.pitch + row);
        transpose(taps[t]);
      }
      constexpr int64_t tap = kLanes * kLanes;
      for (int r = 0; r < kLanes; ++r)
        transform<WeightTransform>(Matrix<float>(reinterpret_cast<const float*>(&taps[0][r]), 3 * tap, tap),
            U(p.u, row + r, column));
    }
}

}  // namespace

template <class X> void winograd_input(const WinogradInput<X>& p) {
  with_form(p.v, [&]<class V>() { input<V>(p); });
}

template <class X> void winograd_gradient(const WinogradGradient<X>& p) {
  with_form(p.z, [&]<class Z>() { gradient<Z>(p); });
}

void winograd_weight(const WinogradWeight& p) {
  with_form(p.u, [&]<class U>() { weight<U>(p); });
}

namespace {

// The pixels of a tile of y that exist; what is put there goes through `finish`.
template <class X, class Finish> struct OutputTile {
  Strided<X> pixels;
  int64_t channels, rows, columns;
  bool accumulate;
  const Finish& finish;
  SIMD_MEMBER void put(int i, Vec sum) const {
    if (i >= rows || columns <= 0) return;
    const Vec value = finish(sum);
    store(pixels[i], accumulate ? load(pixels[i]) + value : value);
  }
  SIMD_MEMBER void next() {
    pixels.move(channels);
    --columns;
  }
};

}  // namespace

template <class X> void winograd_output(const WinogradOutput<X>& p) {
  for_tiles(p.tiles, [&](int64_t k, int64_t image, int64_t row, int64_t column) {
    const float* m = p.m.data + k * p.m.pitch;
    X* y = p.y + ((image * p.tiles.h + row) * p.tiles.w + column) * p.y_channels;
    ask_ahead<1>(y, p.tiles.w, p.y_channels, p.channels);
    for (int64_t c = 0; c < p.channels; c += kLanes) {
      const auto write = [&](auto finish) {
        transform<OutputTransform>(Matrix<float>(m + c, 6 * p.m.point, p.m.point),
            OutputTile<X, decltype(finish)>{{y + c, p.tiles.w * p.y_channels}, p.y_channels, p.tiles.h - row,
                p.tiles.w - column, p.accumulate, finish});
      };
      const Vec bias = p.end.bias ? load(p.end.bias + c) : Vec{};
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
  struct SumOfGroups {
    const float* u;
    int64_t row, column, groups, group;
    SIMD_MEMBER Vec read(int j) const {
      Vec sum = load(u + j * column);
      for (int64_t g = 1; g < groups; ++g) sum += load(u + j * column + g * group);
      return sum;
    }
    SIMD_MEMBER void next() { u += row; }
  };
  struct Taps {
    Strided<float> rows;
    int64_t tap;
    bool accumulate;
    SIMD_MEMBER void put(int i, Vec value) const {
      store(rows[i], accumulate ? load(rows[i]) + value : value);
    }
    SIMD_MEMBER void next() { rows.move(tap); }
  };
  for (int64_t row = 0; row < p.rows; ++row)
    for (int64_t column = 0; column < p.columns; column += kLanes)
      transform<WeightGradientTransform>(
          SumOfGroups{p.u.data + row * p.u.pitch + column, 6 * p.u.point, p.u.point, p.groups, p.group},
          Taps{{p.dw + row * p.pitch + column, 3 * p.tap}, p.tap, p.accumulate});
}

template void winograd_input(const WinogradInput<float>&);
template void winograd_input(const WinogradInput<bf16>&);
template void winograd_gradient(const WinogradGradient<float>&);
template void winograd_gradient(const WinogradGradient<bf16>&);
template void winograd_output(const WinogradOutput<float>&);
template void winograd_output(const WinogradOutput<bf16>&);

}  // namespace patchcl::PATCHCL_ISA
