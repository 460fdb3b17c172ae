#include "autograd/ops/conv2d.h"

#include <algorithm>
#include <cstring>

#include "autograd/ops/conv2d_direct.h"
#include "autograd/ops/conv2d_parts.h"
#include "autograd/ops/conv2d_winograd.h"
#include "tensor/device.h"
#include "tensor/gemm.h"
#include "tensor/parallel.h"

namespace patchcl {

namespace {

// ---- naive: the definition, the oracle of every other kernel ----

template <class T>
void naive_forward(const Conv2dSizes& s, ConvSources<const T> x, const T* w, const T* b, T* y) {
  const Gather from = forward_gather(s);
  parallel_for(s.n * s.oh, [&](int64_t row) {
    const int64_t n = row / s.oh, i = row % s.oh;
    for (int64_t j = 0; j < s.ow; ++j)
      for (int64_t o = 0; o < s.cout; ++o) {
        double sum = b ? double(b[o]) : 0;
        for (int64_t u = 0; u < s.kh; ++u)
          for (int64_t v = 0; v < s.kw; ++v) {
            const int64_t iy = from.at(i, u, s.h), ix = from.at(j, v, s.w);
            if (iy < 0 || ix < 0) continue;
            const T* tap = w + (u * s.kw + v) * s.cin * s.cout + o;
            for (const auto& in : x)
              for (int64_t c = 0; c < in.count; ++c)
                sum += double(in.data[((n * s.h + iy) * s.w + ix) * in.count + c]) *
                       double(tap[(in.begin + c) * s.cout]);
          }
        y[(row * s.ow + j) * s.cout + o] = T(sum);
      }
  });
}

template <class T>
void naive_backward_data(const Conv2dSizes& s, const T* dy, const T* w, const ConvSource<T>& dx) {
  const Gather from = backward_gather(s);
  parallel_for(s.n * s.h, [&](int64_t row) {
    const int64_t n = row / s.h, iy = row % s.h;
    for (int64_t ix = 0; ix < s.w; ++ix)
      for (int64_t c = 0; c < dx.count; ++c) {
        double sum = 0;
        for (int64_t u = 0; u < s.kh; ++u)
          for (int64_t v = 0; v < s.kw; ++v) {
            const int64_t i = from.at(iy, u, s.oh), j = from.at(ix, v, s.ow);
            if (i < 0 || j < 0) continue;
            const T* g = dy + ((n * s.oh + i) * s.ow + j) * s.cout;
            const T* tap = w + ((u * s.kw + v) * s.cin + dx.begin + c) * s.cout;
            for (int64_t o = 0; o < s.cout; ++o) sum += double(g[o]) * double(tap[o]);
          }
        T& out = dx.data[(row * s.w + ix) * dx.count + c];
        out = T(dx.accumulate ? double(out) + sum : sum);
      }
  });
}

template <class T>
void naive_backward_weight(const Conv2dSizes& s, ConvSources<const T> x, const T* dy, const GradOut& dw) {
  const Gather from = forward_gather(s);
  T* out = dw.t.data<T>();
  for (const auto& in : x)
    parallel_for(s.taps() * in.count, [&](int64_t k) {
      const int64_t u = k / in.count / s.kw, v = k / in.count % s.kw, c = k % in.count;
      for (int64_t o = 0; o < s.cout; ++o) {
        double sum = 0;
        for (int64_t n = 0; n < s.n; ++n)
          for (int64_t i = 0; i < s.oh; ++i)
            for (int64_t j = 0; j < s.ow; ++j) {
              const int64_t iy = from.at(i, u, s.h), ix = from.at(j, v, s.w);
              if (iy < 0 || ix < 0) continue;
              sum += double(in.data[((n * s.h + iy) * s.w + ix) * in.count + c]) *
                     double(dy[((n * s.oh + i) * s.ow + j) * s.cout + o]);
            }
        T& d = out[((u * s.kw + v) * s.cin + in.begin + c) * s.cout + o];
        d = T(dw.accumulate ? double(d) + sum : sum);
      }
    });
}

// ---- the general fast path: im2col of a few rows at a time, then one matrix product ----
// The column matrix has a row per output pixel and a column per (tap, channel), the order of the packed
// weight.

constexpr int64_t kColumnBytes = 512 << 10;  // of one chunk's column matrix: fits the second-level cache
constexpr int64_t kMaxPartials = 16;         // partial weight gradients, summed in order

// Image rows per chunk, for rows of `row_elements` matrix elements.
int64_t rows_per_chunk(int64_t rows, int64_t row_elements, size_t element) {
  return std::clamp<int64_t>(
      kColumnBytes / int64_t(element) / std::max<int64_t>(1, row_elements), 1, std::max<int64_t>(1, rows));
}

// Column matrix of `rows` output rows from `first` on, of image n. Sources are (N,h,w,count).
template <class T>
void im2col(ConvSources<const T> x, const Gather& from, int64_t channels, int64_t h, int64_t w, int64_t kh,
    int64_t kw, int64_t n, int64_t first, int64_t rows, int64_t width, T* column) {
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

template <class T>
void general_forward(const Conv2dSizes& s, ConvSources<const T> x, const T* w, const T* b, T* y, T* scratch) {
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
void general_backward_data(const Conv2dSizes& s, const T* dy, const T* w, ConvSources<T> dx, T* scratch) {
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

// How many partial weight gradients: by shape only, so that the order of the sum never depends on the
// threads.
int64_t weight_partials(const Conv2dSizes& s, int64_t tasks) {
  const int64_t weights = s.taps() * s.cin * s.cout;
  return std::clamp<int64_t>(
      (int64_t(4) << 20) / weights, 1, std::min(kMaxPartials, std::max<int64_t>(1, tasks)));
}

template <class T>
void general_backward_weight(
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

size_t general_workspace(const Conv2dSizes& s, size_t element) {
  const int64_t k = s.taps() * s.cin, kb = s.taps() * s.cout, size = k * s.cout;
  const int64_t rows = rows_per_chunk(s.oh, s.ow * k, element),
                rows_back = rows_per_chunk(s.h, s.w * kb, element);
  const int64_t forward = threads() * rows * s.ow * k, data = size + threads() * rows_back * s.w * kb;
  const int64_t weight = forward + weight_partials(s, s.n * chunks(s.oh, rows)) * size;
  return size_t(std::max({forward, data, weight})) * element;
}

// ---- bias gradient, for all kernels: pixels in fixed chunks, the chunks in order, in double ----

constexpr int64_t kBiasChunks = 64;

template <class T>
void backward_bias(const Conv2dSizes& s, const T* dy, const GradOut& db, double* partial) {
  const int64_t pixels = s.n * s.oh * s.ow, chunk = chunks(pixels, kBiasChunks);
  parallel_chunks(
      pixels,
      [&](int64_t begin, int64_t end) {
        double* sum = partial + begin / chunk * s.cout;
        std::fill_n(sum, s.cout, 0.);
        for (int64_t p = begin; p < end; ++p)
          for (int64_t o = 0; o < s.cout; ++o) sum[o] += double(dy[p * s.cout + o]);
      },
      chunk);
  T* out = db.t.data<T>();
  for (int64_t o = 0; o < s.cout; ++o) {
    double sum = db.accumulate ? double(out[o]) : 0;
    for (int64_t c = 0; c < chunks(pixels, chunk); ++c) sum += partial[c * s.cout + o];
    out[o] = T(sum);
  }
}

// ---- which kernel computes which pass ----

enum class Route { naive, general, direct, winograd };
struct Routes {
  Route forward, data, weight;
};

// `blocks`: the channels of every data input are a multiple of 16.
Routes routes(const Conv2dSizes& s, bool blocks, DType dtype) {
  if (kernels() == Kernels::naive) return {Route::naive, Route::naive, Route::naive};
  if (dtype == DType::f32 && kernels() == Kernels::fast && winograd::can(s, blocks))
    return {Route::winograd, Route::winograd, Route::winograd};
  const auto direct_if = [&](bool can) {
    return dtype == DType::f32 && can ? Route::direct : Route::general;
  };
  return {direct_if(direct::can_forward(s, blocks)), direct_if(direct::can_backward_data(s, blocks)),
      direct_if(direct::can_backward_weight(s, blocks))};
}

ConvGrad destination(const GradOut& g) { return {g ? g.t.data<float>() : nullptr, g.accumulate}; }

template <class T>
void backward_data(
    Route route, const Conv2dSizes& s, const T* dy, const T* w, ConvSources<T> dx, T* scratch) {
  if (route == Route::naive) {
    for (const ConvSource<T>& out : dx)
      if (out.data) naive_backward_data(s, dy, w, out);
    return;
  }
  if constexpr (std::is_same_v<T, float>) {
    if (route == Route::winograd) return winograd::backward_data(s, dy, w, dx, scratch);
    if (route == Route::direct) return direct::backward_data(s, dy, w, dx, scratch);
  }
  general_backward_data<T>(s, dy, w, dx, scratch);
}

template <class T>
void backward_parameters(Route route, const Conv2dSizes& s, ConvSources<const T> x, const T* dy,
    const GradOut& dw, const GradOut& db, T* scratch) {
  if constexpr (std::is_same_v<T, float>) {
    if (route == Route::winograd)
      return winograd::backward_weight(s, x, dy, destination(dw), destination(db), scratch);
    if (route == Route::direct)
      return direct::backward_weight(s, x, dy, destination(dw), destination(db), scratch);
  }
  if (dw)
    route == Route::naive ? naive_backward_weight<T>(s, x, dy, dw)
                          : general_backward_weight<T>(s, x, dy, dw, scratch);
  if (db) backward_bias(s, dy, db, reinterpret_cast<double*>(scratch));
}

}  // namespace

Conv2dSizes Conv2d::sizes(const Shapes& x) const {
  const Shape& data = x[0];
  const Shape& w = x[size_t(data_inputs_)];
  const auto out = [&](int64_t in, int64_t kernel) {
    return (in + 2 * options_.padding - options_.dilation * (kernel - 1) - 1) / options_.stride + 1;
  };
  return {.n = data[0],
      .h = data[1],
      .w = data[2],
      .cin = w[2],
      .oh = out(data[1], w[0]),
      .ow = out(data[2], w[1]),
      .cout = w[3],
      .kh = w[0],
      .kw = w[1],
      .stride = options_.stride,
      .padding = options_.padding,
      .dilation = options_.dilation};
}

Shape Conv2d::shape(const Shapes& x) const {
  require(int(x.size()) == data_inputs_ + 1 + bias_, name(), "wants ", data_inputs_, " data inputs, a weight",
      bias_ ? " and a bias" : "", ", got ", x.size(), " inputs");
  require(options_.stride > 0 && options_.padding >= 0 && options_.dilation > 0, name(), "impossible stride ",
      options_.stride, ", padding ", options_.padding, " or dilation ", options_.dilation);
  const Shape& w = x[size_t(data_inputs_)];
  require(w.rank() == 4, name(), "weight wants the shape (KH,KW,Cin,Cout), got ", w);
  int64_t channels = 0;
  for (int i = 0; i < data_inputs_; ++i) {
    const Shape& in = x[size_t(i)];
    require(in.rank() == 4, name(), "x wants the shape (N,H,W,C), got ", in);
    require(in[0] == x[0][0] && in[1] == x[0][1] && in[2] == x[0][2], name(),
        "inputs to concatenate differ in size: ", x[0], " and ", in);
    channels += in[3];
  }
  require(channels == w[2], name(), "weight ", w, " wants ", w[2], " input channels, x has ", channels, " ",
      x[0]);
  if (bias_) require(x.back() == Shape{w[3]}, name(), "bias ", x.back(), " for ", w[3], " output channels");
  const Conv2dSizes s = sizes(x);
  require(s.oh > 0 && s.ow > 0 && s.n > 0, name(), "kernel ", w, " does not fit the image ", x[0]);
  return {s.n, s.oh, s.ow, s.cout};
}

size_t Conv2d::workspace(const Shapes& x, DType dtype, [[maybe_unused]] Device device) const {
  CUDA_ONLY(if (device == Device::cuda) return workspace_cuda(x, dtype);)
  const Conv2dSizes s = sizes(x);
  const Routes r = routes(s, in_blocks(x), dtype);
  size_t bytes = size_t(kBiasChunks * s.cout) * sizeof(double);
  for (Route route : {r.forward, r.data, r.weight}) {
    if (route == Route::general) bytes = std::max(bytes, general_workspace(s, dtype_size(dtype)));
    if (route == Route::direct) bytes = std::max(bytes, direct::workspace(s));
    if (route == Route::winograd) bytes = std::max(bytes, winograd::workspace(s));
  }
  return bytes;
}

bool Conv2d::in_blocks(const Shapes& x) const {
  return std::all_of(x.begin(), x.begin() + data_inputs_, [](const Shape& s) { return s[3] % 16 == 0; });
}

void Conv2d::forward_cpu(const Forward& f) const {
  const Shapes shapes = shapes_of(f.x);
  const Conv2dSizes s = sizes(shapes);
  const Route route = routes(s, in_blocks(shapes), f.y.dtype()).forward;
  dispatch(f.y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const Concatenation<const T> x(f.x.first(size_t(data_inputs_)));
    const T* w = f.x[size_t(data_inputs_)].data<T>();
    const T* b = bias_ ? f.x.back().data<T>() : nullptr;
    T* y = f.y.data<T>();
    T* scratch = static_cast<T*>(f.workspace.raw());
    if (route == Route::naive) return naive_forward<T>(s, x, w, b, y);
    if constexpr (std::is_same_v<T, float>) {
      if (route == Route::winograd) return winograd::forward(s, x, w, {b}, y, scratch);
      if (route == Route::direct) return direct::forward(s, x, w, {b}, y, scratch);
    }
    general_forward<T>(s, x, w, b, y, scratch);
  });
}

bool Conv2d::forward_scaled(const Forward& f, const ConvEnd& end) const {
  const Shapes shapes = shapes_of(f.x);
  const Conv2dSizes s = sizes(shapes);
  const Route route = routes(s, in_blocks(shapes), f.y.dtype()).forward;
  const bool direct = route == Route::direct && direct::can_scale(s);
  if (f.y.device() != Device::cpu || !(direct || route == Route::winograd)) return false;
  const Concatenation<const float> x(f.x.first(size_t(data_inputs_)));
  const auto forward = direct ? direct::forward : winograd::forward;
  forward(s, x, f.x[size_t(data_inputs_)].data<float>(), end, f.y.data<float>(),
      static_cast<float*>(f.workspace.raw()));
  return true;
}

void Conv2d::backward_cpu(const Backward& p) const {
  const Shapes shapes = shapes_of(p.x);
  const Conv2dSizes s = sizes(shapes);
  const Routes r = routes(s, in_blocks(shapes), p.dy.dtype());
  const size_t k = size_t(data_inputs_);
  dispatch(p.dy.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const Concatenation<const T> x(p.x.first(k));
    const Concatenation<T> dx(p.dx.first(k), p.x.first(k));
    const T* w = p.x[k].data<T>();
    const T* dy = p.dy.data<T>();
    T* scratch = static_cast<T*>(p.workspace.raw());
    if (dx.wanted()) backward_data<T>(r.data, s, dy, w, dx, scratch);
    const GradOut db = bias_ ? p.dx.back() : GradOut();
    if (p.dx[k] || db) backward_parameters<T>(r.weight, s, x, dy, p.dx[k], db, scratch);
  });
}

Var conv2d(const std::vector<Var>& x, const Var& w, const Var& b, Conv2dOptions options, Loc loc) {
  require(!x.empty() && x.size() <= kMaxConvSources, "conv2d", "wants 1 to ", kMaxConvSources,
      " data inputs, got ", x.size());
  std::vector<Var> inputs = x;
  inputs.push_back(w);
  if (b) inputs.push_back(b);
  return w.tape().apply(std::make_shared<Conv2d>(int(x.size()), bool(b), options), std::move(inputs), loc);
}

}  // namespace patchcl
