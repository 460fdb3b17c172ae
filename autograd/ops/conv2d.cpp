#include "autograd/ops/conv2d.h"

#include <algorithm>

#include "autograd/ops/conv2d_direct_kernels.h"
#include "autograd/ops/conv2d_general_kernels.h"
#include "autograd/ops/conv2d_matrix_kernels.h"
#include "autograd/ops/conv2d_tiles_kernels.h"
#include "autograd/ops/conv2d_winograd_kernels.h"
#include "tensor/bfloat16.h"
#include "tensor/device.h"
#include "tensor/parallel.h"

namespace patchcl {

namespace {

// ---- naive: the definition, the oracle of every other kernel ----

template <class T> void naive_forward(
    const Conv2dSizes& s, ConvSources<const T> x, const Precise<T>* w, const Precise<T>* b, T* y) {
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
            const Precise<T>* tap = w + (u * s.kw + v) * s.cin * s.cout + o;
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
void naive_backward_data(const Conv2dSizes& s, const T* dy, const Precise<T>* w, const ConvSource<T>& dx) {
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
            const Precise<T>* tap = w + ((u * s.kw + v) * s.cin + dx.begin + c) * s.cout;
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
  Precise<T>* out = dw.t.data<Precise<T>>();
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
        Precise<T>& d = out[((u * s.kw + v) * s.cin + in.begin + c) * s.cout + o];
        d = Precise<T>(dw.accumulate ? double(d) + sum : sum);
      }
    });
}

// ---- bias gradient, for all kernels: pixels in fixed chunks, the chunks in order, in double ----

constexpr int64_t kBiasChunks = 64;

template <class T> void backward_bias(const Conv2dSizes& s, const T* dy, const GradOut& db, double* partial) {
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
  Precise<T>* out = db.t.data<Precise<T>>();
  for (int64_t o = 0; o < s.cout; ++o) {
    double sum = db.accumulate ? double(out[o]) : 0;
    for (int64_t c = 0; c < chunks(pixels, chunk); ++c) sum += partial[c * s.cout + o];
    out[o] = Precise<T>(sum);
  }
}

// ---- which kernel computes which pass ----

enum class Route { naive, general, matrix, direct, winograd, tiles };
struct Routes {
  Route forward, data, weight;
};

// `blocks`: the channels of every data input are a multiple of 16.
template <class X> Routes routes_of(const Conv2dSizes& s, bool blocks) {
  if (kernels() == Kernels::naive) return {Route::naive, Route::naive, Route::naive};
  if constexpr (!std::is_same_v<X, double>) {
    if (std::is_same_v<X, bf16> && kernels() == Kernels::fast && tiles::can(s, blocks))
      return {Route::tiles, Route::tiles, tiles::can_weight(s, blocks) ? Route::tiles : Route::winograd};
    if (kernels() == Kernels::fast && winograd::can(s, blocks))
      return {Route::winograd, Route::winograd, Route::winograd};
    if (direct::can(s, blocks)) return {Route::direct, Route::direct, Route::direct};
    const auto matrix_if = [](bool can) { return can ? Route::matrix : Route::general; };
    const Route forward = matrix_if(matrix::can_forward<X>(s, blocks));
    return {forward, matrix_if(matrix::can_backward_data<X>(s, blocks)), forward};
  }
  return {Route::general, Route::general, Route::general};
}

Routes routes(const Conv2dSizes& s, bool blocks, DType dtype) {
  Routes r;
  dispatch_data(dtype, [&](auto zero) { r = routes_of<decltype(zero)>(s, blocks); });
  return r;
}

ConvGrad destination(const GradOut& g) { return {g ? g.t.data<float>() : nullptr, g.accumulate}; }

template <class T> void backward_data(Route route, const Conv2dSizes& s, const T* dy, const Precise<T>* w,
    ConvSources<T> dx, Precise<T>* scratch) {
  if (route == Route::naive) {
    for (const ConvSource<T>& out : dx)
      if (out.data) naive_backward_data(s, dy, w, out);
    return;
  }
  if constexpr (std::is_same_v<T, bf16>)
    if (route == Route::tiles) return tiles::backward_data(s, dy, w, dx, scratch);
  if constexpr (!std::is_same_v<T, double>) {
    if (route == Route::winograd) return winograd::backward_data(s, dy, w, dx, scratch);
    if (route == Route::direct) return direct::backward_data(s, dy, w, dx, scratch);
    if (route == Route::matrix) return matrix::backward_data(s, dy, w, dx, scratch);
  }
  general::backward_data<T>(s, dy, w, dx, scratch);
}

template <class T> void backward_parameters(Route route, const Conv2dSizes& s, ConvSources<const T> x,
    const T* dy, const GradOut& dw, const GradOut& db, Precise<T>* scratch) {
  if constexpr (std::is_same_v<T, bf16>)
    if (route == Route::tiles)
      return tiles::backward_weight(s, x, dy, destination(dw), destination(db), scratch);
  if constexpr (!std::is_same_v<T, double>) {
    if (route == Route::winograd)
      return winograd::backward_weight(s, x, dy, destination(dw), destination(db), scratch);
    if (route == Route::direct)
      return direct::backward_weight(s, x, dy, destination(dw), destination(db), scratch);
    if (route == Route::matrix)
      return matrix::backward_weight(s, x, dy, destination(dw), destination(db), scratch);
  }
  if (dw)
    route == Route::naive ? naive_backward_weight<T>(s, x, dy, dw)
                          : general::backward_weight<T>(s, x, dy, dw, scratch);
  if (db) backward_bias(s, dy, db, reinterpret_cast<double*>(scratch));
}

}  // namespace

Conv2dSizes Conv2d::sizes(const Shapes& x) const {
  const Shape& data = x[0];
  const Shape& w = x[size_t(data_inputs_)];
  const auto out = [&](int64_t in, int64_t kernel) {
    const int64_t room = in + 2 * options_.padding - options_.dilation * (kernel - 1) - 1;
    return room < 0 ? 0 : room / options_.stride + 1;
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
    if (route == Route::general) bytes = std::max(bytes, general::workspace(s, dtype));
    if (route == Route::matrix) bytes = std::max(bytes, matrix::workspace(s));
    if (route == Route::direct) bytes = std::max(bytes, direct::workspace(s));
    if (route == Route::winograd) bytes = std::max(bytes, winograd::workspace(s));
    if (route == Route::tiles) bytes = std::max(bytes, tiles::workspace(s));
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
  dispatch_data(f.y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const Concatenation<const T> x(f.x.first(size_t(data_inputs_)));
    const auto* w = f.x[size_t(data_inputs_)].data<Precise<T>>();
    const auto* b = bias_ ? f.x.back().data<Precise<T>>() : nullptr;
    T* y = f.y.data<T>();
    auto* scratch = static_cast<Precise<T>*>(f.workspace.raw());
    if (route == Route::naive) return naive_forward<T>(s, x, w, b, y);
    if constexpr (std::is_same_v<T, bf16>)
      if (route == Route::tiles) return tiles::forward(s, x, w, {b}, y, scratch);
    if constexpr (!std::is_same_v<T, double>) {
      if (route == Route::winograd) return winograd::forward<T>(s, x, w, {b}, y, scratch);
      if (route == Route::direct) return direct::forward<T>(s, x, w, {b}, y, scratch);
      if (route == Route::matrix) return matrix::forward<T>(s, x, w, {b}, y, scratch);
    }
    general::forward<T>(s, x, w, b, y, scratch);
  });
}

bool Conv2d::forward_scaled(const Forward& f, const ConvEnd& end) const {
  const Shapes shapes = shapes_of(f.x);
  const Conv2dSizes s = sizes(shapes);
  const Route route = routes(s, in_blocks(shapes), f.y.dtype()).forward;
  const bool direct = route == Route::direct && direct::can_scale(s), tiled = route == Route::tiles;
  if (f.y.device() != Device::cpu || !(direct || tiled || route == Route::winograd)) return false;
  const auto run = [&]<class X>(X) {
    const Concatenation<const X> x(f.x.first(size_t(data_inputs_)));
    auto* forward = direct ? direct::forward<X> : winograd::forward<X>;
    if constexpr (std::is_same_v<X, bf16>)
      if (tiled) forward = tiles::forward;
    forward(s, x, f.x[size_t(data_inputs_)].data<float>(), end, f.y.data<X>(),
        static_cast<float*>(f.workspace.raw()));
  };
  f.y.dtype() == DType::bf16 ? run(bf16{}) : run(float{});
  return true;
}

void Conv2d::backward_cpu(const Backward& p) const {
  const Shapes shapes = shapes_of(p.x);
  const Conv2dSizes s = sizes(shapes);
  const Routes r = routes(s, in_blocks(shapes), p.dy.dtype());
  const size_t k = size_t(data_inputs_);
  dispatch_data(p.dy.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const Concatenation<const T> x(p.x.first(k));
    const Concatenation<T> dx(p.dx.first(k), p.x.first(k));
    const auto* w = p.x[k].data<Precise<T>>();
    const T* dy = p.dy.data<T>();
    auto* scratch = static_cast<Precise<T>*>(p.workspace.raw());
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
