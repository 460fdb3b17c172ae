#include "autograd/ops/conv2d_general_kernels.h"

#include <cstring>

#include "tensor/device.h"
#include "tensor/gemm.h"
#include "tensor/parallel.h"
#include "tensor/widen.h"

namespace patchcl::general {

namespace {

constexpr int64_t kColumnBytes = 512 << 10;  // of one chunk's column matrix: fits the second-level cache
constexpr int64_t kMaxPartials = 16;         // partial weight gradients, summed in order

// Image rows per chunk, for rows of `row_elements` matrix elements.
int64_t rows_per_chunk(int64_t rows, int64_t row_elements, size_t element) {
  return std::clamp<int64_t>(
      kColumnBytes / int64_t(element) / std::max<int64_t>(1, row_elements), 1, std::max<int64_t>(1, rows));
}

// Column matrix of `rows` output rows from `first` on, of image n. Sources are (N,h,w,count).
template <class T> void im2col(ConvSources<const T> x, const Gather& from, int64_t channels, int64_t h,
    int64_t w, int64_t kh, int64_t kw, int64_t n, int64_t first, int64_t rows, int64_t width, T* column) {
  for (int64_t i = first; i < first + rows; ++i)
    for (int64_t j = 0; j < width; ++j)
      for (int64_t u = 0; u < kh; ++u)
        for (int64_t v = 0; v < kw; ++v, column += channels) {
          const int64_t iy = from.at(i, u, h), ix = from.at(j, v, w);
          if (iy < 0 || ix < 0) {
            std::memset(column, 0, size_t(channels) * sizeof(T));
            continue;
          }
          for (const auto& in : x)
            std::memcpy(column + in.begin, in.data + ((n * h + iy) * w + ix) * in.count,
                size_t(in.count) * sizeof(T));
        }
}

// How many partial weight gradients: by shape only, so that the order of the sum never depends on the
// threads.
int64_t weight_partials(const Conv2dSizes& s, int64_t tasks) {
  const int64_t weights = s.taps() * s.cin * s.cout;
  return std::clamp<int64_t>(
      (int64_t(4) << 20) / weights, 1, std::min(kMaxPartials, std::max<int64_t>(1, tasks)));
}

template <class T>
void forward_precise(const Conv2dSizes& s, ConvSources<const T> x, const T* w, const T* b, T* y, T* scratch) {
  const int64_t k = s.taps() * s.cin, rows = rows_per_chunk(s.oh, s.ow * k, sizeof(T)),
                per_image = chunks(s.oh, rows);
  parallel_for(s.n * per_image, [&](int64_t task) {
    const int64_t n = task / per_image, first = task % per_image * rows, count = std::min(rows, s.oh - first);
    T* column = scratch + thread_index() * rows * s.ow * k;
    im2col<T>(x, forward_gather(s), s.cin, s.h, s.w, s.kh, s.kw, n, first, count, s.ow, column);
    T* out = y + (n * s.oh + first) * s.ow * s.cout;
    for (int64_t p = 0; b && p < count * s.ow; ++p) std::copy_n(b, s.cout, out + p * s.cout);
    gemm<T>(false, false, count * s.ow, s.cout, k, 1, column, k, w, s.cout, b ? 1 : 0, out, s.cout);
  });
}

// dx is the same product with dy gathered the other way round and the weight transposed within each tap.
template <class T>
void backward_data_precise(const Conv2dSizes& s, const T* dy, const T* w, ConvSources<T> dx, T* scratch) {
  const int64_t k = s.taps() * s.cout, rows = rows_per_chunk(s.h, s.w * k, sizeof(T)),
                per_image = chunks(s.h, rows);
  T* transposed = scratch;  // (KH,KW,Cout,Cin)
  parallel_for(s.taps(), [&](int64_t tap) {
    for (int64_t c = 0; c < s.cin; ++c)
      for (int64_t o = 0; o < s.cout; ++o)
        transposed[(tap * s.cout + o) * s.cin + c] = w[(tap * s.cin + c) * s.cout + o];
  });
  scratch += k * s.cin;
  const ConvSource<const T> source{dy, 0, s.cout};
  parallel_for(s.n * per_image, [&](int64_t task) {
    const int64_t n = task / per_image, first = task % per_image * rows, count = std::min(rows, s.h - first);
    T* column = scratch + thread_index() * rows * s.w * k;
    im2col<T>({&source, 1}, backward_gather(s), s.cout, s.oh, s.ow, s.kh, s.kw, n, first, count, s.w, column);
    for (const auto& out : dx)
      if (out.data)
        gemm<T>(false, false, count * s.w, out.count, k, 1, column, k, transposed + out.begin, s.cin,
            out.accumulate, out.data + (n * s.h + first) * s.w * out.count, out.count);
  });
}

template <class T> void backward_weight_precise(
    const Conv2dSizes& s, ConvSources<const T> x, const T* dy, const GradOut& dw, T* scratch) {
  const int64_t k = s.taps() * s.cin, size = k * s.cout;
  const int64_t rows = rows_per_chunk(s.oh, s.ow * k, sizeof(T)), per_image = chunks(s.oh, rows),
                tasks = s.n * per_image;
  const int64_t partials = weight_partials(s, tasks);
  T* columns = scratch + partials * size;
  parallel_for(partials, [&](int64_t part) {
    T* sum = scratch + part * size;
    std::fill_n(sum, size, T(0));
    T* column = columns + thread_index() * rows * s.ow * k;
    for (int64_t task = tasks * part / partials; task < tasks * (part + 1) / partials; ++task) {
      const int64_t n = task / per_image, first = task % per_image * rows,
                    count = std::min(rows, s.oh - first);
      im2col<T>(x, forward_gather(s), s.cin, s.h, s.w, s.kh, s.kw, n, first, count, s.ow, column);
      gemm<T>(true, false, k, s.cout, count * s.ow, 1, column, k, dy + (n * s.oh + first) * s.ow * s.cout,
          s.cout, 1, sum, s.cout);
    }
  });
  T* out = dw.t.data<T>();
  parallel_chunks(size, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      T sum = scratch[i];
      for (int64_t part = 1; part < partials; ++part) sum += scratch[part * size + i];
      out[i] = dw.accumulate ? out[i] + sum : sum;
    }
  });
}

size_t workspace_precise(const Conv2dSizes& s, size_t element) {
  const int64_t k = s.taps() * s.cin, kb = s.taps() * s.cout, size = k * s.cout;
  const int64_t rows = rows_per_chunk(s.oh, s.ow * k, element),
                rows_back = rows_per_chunk(s.h, s.w * kb, element);
  const int64_t forward = threads() * rows * s.ow * k, data = size + threads() * rows_back * s.w * kb;
  const int64_t weight = forward + weight_partials(s, s.n * chunks(s.oh, rows)) * size;
  return size_t(std::max({forward, data, weight})) * element;
}

// ---- bf16: x and y as one tensor each in f32, in front of the scratch ----

int64_t x_numbers(const Conv2dSizes& s) { return s.n * s.h * s.w * s.cin; }
int64_t y_numbers(const Conv2dSizes& s) { return s.n * s.oh * s.ow * s.cout; }

void widen_all(int64_t pixels, ConvSources<const bf16> from, float* to) {
  parallel_chunks(pixels, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p)
      for (const auto& in : from)
        ISA_PICK(widen)(in.data + p * in.count, in.count, to + p * from.channels() + in.begin);
  });
}
void narrow_all(int64_t pixels, const float* from, ConvSources<bf16> to) {
  parallel_chunks(pixels, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p)
      for (const auto& out : to)
        if (out.data) ISA_PICK(narrow)
    (from + p * to.channels() + out.begin, out.count, out.data + p * out.count, out.accumulate);
  });
}

}  // namespace

size_t workspace(const Conv2dSizes& s, DType dtype) {
  const size_t copies = dtype == DType::bf16 ? size_t(x_numbers(s) + y_numbers(s)) * sizeof(float) : 0;
  return copies + workspace_precise(s, dtype_size(precise(dtype)));
}

template <class X> void forward(const Conv2dSizes& s, ConvSources<const X> x, const Precise<X>* w,
    const Precise<X>* b, X* y, Precise<X>* scratch) {
  if constexpr (std::is_same_v<X, bf16>) {
    float *wide_y = scratch + x_numbers(s), *rest = wide_y + y_numbers(s);
    widen_all(s.n * s.h * s.w, x, scratch);
    forward_precise<float>(s, Concatenation<const float>(scratch, s.cin), w, b, wide_y, rest);
    narrow_all(s.n * s.oh * s.ow, wide_y, Concatenation<bf16>(y, s.cout));
  } else forward_precise<X>(s, x, w, b, y, scratch);
}

template <class X> void backward_data(
    const Conv2dSizes& s, const X* dy, const Precise<X>* w, ConvSources<X> dx, Precise<X>* scratch) {
  if constexpr (std::is_same_v<X, bf16>) {
    float *wide_dy = scratch + x_numbers(s), *rest = wide_dy + y_numbers(s);
    widen_all(s.n * s.oh * s.ow, Concatenation<const bf16>(dy, s.cout), wide_dy);
    backward_data_precise<float>(s, wide_dy, w, Concatenation<float>(scratch, s.cin), rest);
    narrow_all(s.n * s.h * s.w, scratch, dx);
  } else backward_data_precise<X>(s, dy, w, dx, scratch);
}

template <class X> void backward_weight(
    const Conv2dSizes& s, ConvSources<const X> x, const X* dy, const GradOut& dw, Precise<X>* scratch) {
  if constexpr (std::is_same_v<X, bf16>) {
    float *wide_dy = scratch + x_numbers(s), *rest = wide_dy + y_numbers(s);
    widen_all(s.n * s.h * s.w, x, scratch);
    widen_all(s.n * s.oh * s.ow, Concatenation<const bf16>(dy, s.cout), wide_dy);
    backward_weight_precise<float>(s, Concatenation<const float>(scratch, s.cin), wide_dy, dw, rest);
  } else backward_weight_precise<X>(s, x, dy, dw, scratch);
}

#define GENERAL_FOR(X)                                                                                       \
  template void forward(                                                                                     \
      const Conv2dSizes&, ConvSources<const X>, const Precise<X>*, const Precise<X>*, X*, Precise<X>*);      \
  template void backward_data(const Conv2dSizes&, const X*, const Precise<X>*, ConvSources<X>, Precise<X>*); \
  template void backward_weight(                                                                             \
      const Conv2dSizes&, ConvSources<const X>, const X*, const GradOut&, Precise<X>*);
GENERAL_FOR(float)
GENERAL_FOR(double)
GENERAL_FOR(bf16)

}  // namespace patchcl::general
