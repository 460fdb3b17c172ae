// Convolution on the GPU. f32 goes to cuDNN, one call for each data input, the second one adding to the first (cuDNN's
// beta), so that a concatenation needs no copy. Its algorithms are fixed to ones that repeat bit by bit; no search.
// What cuDNN declines, and f64, is im2col and cuBLAS, a piece of the column matrix at a time, in order.
#include <cudnn.h>

#include "autograd/ops/conv2d.h"
#include "autograd/ops/conv2d_parts.h"
#include "tensor/cuda_runtime.cuh"
#include "tensor/device.h"

namespace patchcl {

namespace {

// ---- cuDNN ----

constexpr cudnnConvolutionFwdAlgo_t kForward = CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM;
constexpr cudnnConvolutionBwdDataAlgo_t kData = CUDNN_CONVOLUTION_BWD_DATA_ALGO_1;
constexpr cudnnConvolutionBwdFilterAlgo_t kFilter = CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1;

void check(cudnnStatus_t status, const char* call, int line) {
  if (status != CUDNN_STATUS_SUCCESS)
    fail(ExitCode::device, "cudnn", call, " at ", __FILE__, ":", line, " failed: ", cudnnGetErrorString(status));
}
#define CUDNN_CHECK(call) check((call), #call, __LINE__)

cudnnHandle_t cudnn() {
  static const cudnnHandle_t handle = [] {
    cudnnHandle_t h;
    CUDNN_CHECK(cudnnCreate(&h));
    CUDNN_CHECK(cudnnSetStream(h, cuda::stream()));
    return h;
  }();
  return handle;
}

struct ImageDescriptor {
  cudnnTensorDescriptor_t d;
  ImageDescriptor(int64_t n, int64_t h, int64_t w, int64_t c) {
    CUDNN_CHECK(cudnnCreateTensorDescriptor(&d));
    CUDNN_CHECK(cudnnSetTensor4dDescriptor(d, CUDNN_TENSOR_NHWC, CUDNN_DATA_FLOAT, int(n), int(c), int(h), int(w)));
  }
  ~ImageDescriptor() { cudnnDestroyTensorDescriptor(d); }
  ImageDescriptor(const ImageDescriptor&) = delete;
};

struct FilterDescriptor {  // (Cout, KH, KW, Cin)
  cudnnFilterDescriptor_t d;
  FilterDescriptor(const Conv2dSizes& s, int64_t cin) {
    CUDNN_CHECK(cudnnCreateFilterDescriptor(&d));
    CUDNN_CHECK(cudnnSetFilter4dDescriptor(d, CUDNN_DATA_FLOAT, CUDNN_TENSOR_NHWC, int(s.cout), int(cin), int(s.kh), int(s.kw)));
  }
  ~FilterDescriptor() { cudnnDestroyFilterDescriptor(d); }
  FilterDescriptor(const FilterDescriptor&) = delete;
};

struct ConvolutionDescriptor {
  cudnnConvolutionDescriptor_t d;
  explicit ConvolutionDescriptor(const Conv2dSizes& s) {
    const int p = int(s.padding), t = int(s.stride), l = int(s.dilation);
    CUDNN_CHECK(cudnnCreateConvolutionDescriptor(&d));
    CUDNN_CHECK(cudnnSetConvolution2dDescriptor(d, p, p, t, t, l, l, CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT));
    // TF32 keeps 10 bits of the mantissa: only when asked for.
    CUDNN_CHECK(cudnnSetConvolutionMathType(d, math_mode() == MathMode::tf32 ? CUDNN_TENSOR_OP_MATH : CUDNN_FMA_MATH));
  }
  ~ConvolutionDescriptor() { cudnnDestroyConvolutionDescriptor(d); }
  ConvolutionDescriptor(const ConvolutionDescriptor&) = delete;
};

// One data input of a convolution, as cuDNN sees it.
struct Subject {
  ImageDescriptor x, y;
  FilterDescriptor w;
  ConvolutionDescriptor conv;
  Subject(const Conv2dSizes& s, int64_t channels)
      : x(s.n, s.h, s.w, channels), y(s.n, s.oh, s.ow, s.cout), w(s, channels), conv(s) {}
};

// True when cuDNN has the algorithm for these sizes and `room` bytes suffice for it.
bool fits(cudnnStatus_t status, size_t bytes, size_t room) { return status == CUDNN_STATUS_SUCCESS && bytes <= room; }

// Channels [begin, begin + count) of our weight (KH,KW,Cin,Cout) in cuDNN's order, and its gradient back.
void pack_weight(const Conv2dSizes& s, const float* w, int64_t begin, int64_t count, float* packed) {
  const int64_t taps = s.taps(), cin = s.cin, cout = s.cout;
  cuda::for_each(cout * taps * count, [=] __device__(int64_t e) {
    const int64_t c = e % count, t = e / count % taps, o = e / count / taps;
    packed[e] = w[(t * cin + begin + c) * cout + o];
  });
}
void unpack_gradient(const Conv2dSizes& s, const float* packed, int64_t begin, int64_t count, float* dw, bool accumulate) {
  const int64_t taps = s.taps(), cin = s.cin, cout = s.cout;
  cuda::for_each(taps * count * cout, [=] __device__(int64_t e) {
    const int64_t o = e % cout, c = e / cout % count, t = e / cout / count;
    store(dw[(t * cin + begin + c) * cout + o], packed[(o * taps + t) * count + c], accumulate);
  });
}

// Everything a pass needs besides its operands.
struct Scratch {
  char *weights, *room;
  size_t room_bytes;
  Scratch(const Conv2dSizes& s, size_t element, const Tensor& workspace) {
    const Conv2dCudaWorkspace plan(s, element);
    weights = static_cast<char*>(workspace.raw());
    room = weights + 2 * plan.weights;
    room_bytes = plan.room;
  }
  template <class T> T* weight() const { return reinterpret_cast<T*>(weights); }
  template <class T> T* column() const { return reinterpret_cast<T*>(room); }
};

// Each returns false, having written nothing, when cuDNN declines.
bool cudnn_forward(const Conv2dSizes& s, const Concatenation<const float>& x, const float* w, float* y, const Scratch& scratch) {
  for (const auto& in : x) {
    const Subject j(s, in.count);
    size_t bytes = 0;
    const auto status = cudnnGetConvolutionForwardWorkspaceSize(cudnn(), j.x.d, j.w.d, j.conv.d, j.y.d, kForward, &bytes);
    if (!fits(status, bytes, scratch.room_bytes)) return false;
  }
  for (const auto& in : x) {
    const Subject j(s, in.count);
    const float alpha = 1, beta = in.begin > 0;
    pack_weight(s, w, in.begin, in.count, scratch.weight<float>());
    CUDNN_CHECK(cudnnConvolutionForward(cudnn(), &alpha, j.x.d, in.data, j.w.d, scratch.weights, j.conv.d, kForward,
                                        scratch.room, scratch.room_bytes, &beta, j.y.d, y));
  }
  return true;
}

bool cudnn_backward_data(const Conv2dSizes& s, const float* dy, const float* w, const Concatenation<float>& dx, const Scratch& scratch) {
  for (const auto& out : dx) {
    const Subject j(s, out.count);
    size_t bytes = 0;
    const auto status = cudnnGetConvolutionBackwardDataWorkspaceSize(cudnn(), j.w.d, j.y.d, j.conv.d, j.x.d, kData, &bytes);
    if (!fits(status, bytes, scratch.room_bytes)) return false;
  }
  for (const auto& out : dx) {
    if (!out.data) continue;
    const Subject j(s, out.count);
    const float alpha = 1, beta = out.accumulate;
    pack_weight(s, w, out.begin, out.count, scratch.weight<float>());
    CUDNN_CHECK(cudnnConvolutionBackwardData(cudnn(), &alpha, j.w.d, scratch.weights, j.y.d, dy, j.conv.d, kData, scratch.room,
                                             scratch.room_bytes, &beta, j.x.d, out.data));
  }
  return true;
}

bool cudnn_backward_weight(const Conv2dSizes& s, const Concatenation<const float>& x, const float* dy, const GradOut& dw,
                           const Scratch& scratch) {
  for (const auto& in : x) {
    const Subject j(s, in.count);
    size_t bytes = 0;
    const auto status = cudnnGetConvolutionBackwardFilterWorkspaceSize(cudnn(), j.x.d, j.y.d, j.conv.d, j.w.d, kFilter, &bytes);
    if (!fits(status, bytes, scratch.room_bytes)) return false;
  }
  for (const auto& in : x) {
    const Subject j(s, in.count);
    const float alpha = 1, beta = 0;
    CUDNN_CHECK(cudnnConvolutionBackwardFilter(cudnn(), &alpha, j.x.d, in.data, j.y.d, dy, j.conv.d, kFilter, scratch.room,
                                               scratch.room_bytes, &beta, j.w.d, scratch.weights));
    unpack_gradient(s, scratch.weight<float>(), in.begin, in.count, dw.t.data<float>(), dw.accumulate);
  }
  return true;
}

// ---- im2col and cuBLAS ----

// One direction of the convolution: y (pixels, .) from rows of a column matrix over x (n,h,w,channels).
template <class T> struct Columns {
  Concatenation<const T> x;
  Gather from;
  int64_t channels, h, w;    // of the source
  int64_t kh, kw, oh, ow;    // of the result
  int64_t depth() const { return kh * kw * channels; }

  // Rows [first, first + rows), one for each pixel of the result.
  void fill(int64_t first, int64_t rows, T* column) const {
    const Columns<T> m = *this;
    const int64_t k = depth();
    cuda::for_each(rows * k, [=] __device__(int64_t e) {
      const int64_t c = e % m.channels, tap = e % k / m.channels, p = first + e / k;
      const int64_t iy = m.from.at(p / m.ow % m.oh, tap / m.kw, m.h), ix = m.from.at(p % m.ow, tap % m.kw, m.w);
      const ConvSource<const T>& in = m.x.of(c);
      column[e] = iy < 0 || ix < 0 ? T(0) : in.data[((p / m.ow / m.oh * m.h + iy) * m.w + ix) * in.count + c - in.begin];
    });
  }

  // fn(first, rows) over all pixels of n images, in pieces for which fill() has just run.
  template <class F> void for_pieces(int64_t n, const Scratch& scratch, F&& fn) const {
    const int64_t pixels = n * oh * ow, most = std::max<int64_t>(1, int64_t(scratch.room_bytes / sizeof(T)) / depth());
    for (int64_t first = 0; first < pixels; first += most) {
      const int64_t rows = std::min(most, pixels - first);
      fill(first, rows, scratch.column<T>());
      fn(first, rows);
    }
  }
};

template <class T> Columns<T> forward_columns(const Conv2dSizes& s, const Concatenation<const T>& x) {
  return {x, forward_gather(s), s.cin, s.h, s.w, s.kh, s.kw, s.oh, s.ow};
}

template <class T>
void general_forward(const Conv2dSizes& s, const Concatenation<const T>& x, const T* w, T* y, const Scratch& scratch) {
  const Columns<T> columns = forward_columns(s, x);
  const int64_t k = columns.depth();
  columns.for_pieces(s.n, scratch, [&](int64_t first, int64_t rows) {
    cuda::gemm<T>(false, false, rows, s.cout, k, 1, scratch.column<T>(), k, w, s.cout, 0, y + first * s.cout, s.cout);
  });
}

template <class T>
void general_backward_data(const Conv2dSizes& s, const T* dy, const T* w, const Concatenation<T>& dx, const Scratch& scratch) {
  const Columns<T> columns{Concatenation<const T>(dy, s.cout), backward_gather(s), s.cout, s.oh, s.ow, s.kh, s.kw, s.h, s.w};
  const int64_t k = columns.depth(), cin = s.cin, cout = s.cout;
  T* transposed = scratch.weight<T>();  // (KH,KW,Cout,Cin)
  cuda::for_each(s.weights(), [=] __device__(int64_t e) {
    transposed[e] = w[(e / cin / cout * cin + e % cin) * cout + e / cin % cout];
  });
  columns.for_pieces(s.n, scratch, [&](int64_t first, int64_t rows) {
    for (const auto& out : dx)
      if (out.data)
        cuda::gemm<T>(false, false, rows, out.count, k, 1, scratch.column<T>(), k, transposed + out.begin, cin,
                      out.accumulate, out.data + first * out.count, out.count);
  });
}

template <class T>
void general_backward_weight(const Conv2dSizes& s, const Concatenation<const T>& x, const T* dy, const GradOut& dw,
                             const Scratch& scratch) {
  const Columns<T> columns = forward_columns(s, x);
  const int64_t k = columns.depth();
  columns.for_pieces(s.n, scratch, [&](int64_t first, int64_t rows) {
    cuda::gemm<T>(true, false, k, s.cout, rows, 1, scratch.column<T>(), k, dy + first * s.cout, s.cout,
                  first > 0 || dw.accumulate, dw.t.data<T>(), s.cout);
  });
}

// ---- bias ----

template <class T> void add_bias(const Conv2dSizes& s, const T* b, T* y) {
  const int64_t cout = s.cout;
  cuda::for_each(s.n * s.oh * s.ow * cout, [=] __device__(int64_t e) { y[e] += b[e % cout]; });
}

constexpr int64_t kBiasChunks = 4096;

// Total of one channel's partial sums.
template <class T> struct SumPartials {
  const double* partial;  // (channel, chunk)
  int64_t chunks;
  T* db;
  bool accumulate;
  template <int kLanes> __device__ void operator()(int64_t channel, cuda::Lanes<kLanes> lanes) const {
    double sum = 0;
    for (int64_t g = lanes.lane; g < chunks; g += kLanes) sum += partial[channel * chunks + g];
    sum = lanes.sum(sum);
    if (lanes.lane == 0) store(db[channel], T(sum), accumulate);
  }
};

template <class T> void backward_bias(const Conv2dSizes& s, const T* dy, const GradOut& db, const Scratch& scratch) {
  const int64_t pixels = s.n * s.oh * s.ow, cout = s.cout, chunks = std::min(pixels, kBiasChunks);
  double* partial = scratch.column<double>();
  cuda::for_each(chunks * cout, [=] __device__(int64_t e) {
    const int64_t o = e % cout, g = e / cout;
    double sum = 0;
    for (int64_t p = pixels * g / chunks; p < pixels * (g + 1) / chunks; ++p) sum += double(dy[p * cout + o]);
    partial[o * chunks + g] = sum;
  });
  cuda::for_each_row(cout, chunks, SumPartials<T>{partial, chunks, db.t.data<T>(), db.accumulate});
}

// ---- the two passes ----

template <class T> void launch_forward(const Conv2dSizes& s, int data_inputs, bool bias, const Forward& f) {
  const Concatenation<const T> x(f.x.first(size_t(data_inputs)));
  const Scratch scratch(s, sizeof(T), f.workspace);
  const T* w = f.x[size_t(data_inputs)].template data<T>();
  T* y = f.y.data<T>();
  bool done = false;
  if constexpr (std::is_same_v<T, float>) done = cudnn_forward(s, x, w, y, scratch);
  if (!done) general_forward<T>(s, x, w, y, scratch);
  if (bias) add_bias<T>(s, f.x.back().template data<T>(), y);
}

template <class T> void launch_backward(const Conv2dSizes& s, int data_inputs, bool bias, const Backward& p) {
  const size_t k = size_t(data_inputs);
  const Concatenation<const T> x(p.x.first(k));
  const Concatenation<T> dx(p.dx.first(k), p.x.first(k));
  const Scratch scratch(s, sizeof(T), p.workspace);
  const T *w = p.x[k].template data<T>(), *dy = p.dy.data<T>();
  constexpr bool f32 = std::is_same_v<T, float>;
  if (dx.wanted()) {
    bool done = false;
    if constexpr (f32) done = cudnn_backward_data(s, dy, w, dx, scratch);
    if (!done) general_backward_data<T>(s, dy, w, dx, scratch);
  }
  if (p.dx[k]) {
    bool done = false;
    if constexpr (f32) done = cudnn_backward_weight(s, x, dy, p.dx[k], scratch);
    if (!done) general_backward_weight<T>(s, x, dy, p.dx[k], scratch);
  }
  if (bias && p.dx.back()) backward_bias<T>(s, dy, p.dx.back(), scratch);
}

}  // namespace

void Conv2d::forward_cuda(const Forward& f) const {
  const Conv2dSizes s = sizes(shapes_of(f.x));
  dispatch(f.y.dtype(), [&](auto zero) { launch_forward<decltype(zero)>(s, data_inputs_, bias_, f); });
}

void Conv2d::backward_cuda(const Backward& p) const {
  const Conv2dSizes s = sizes(shapes_of(p.x));
  dispatch(p.dy.dtype(), [&](auto zero) { launch_backward<decltype(zero)>(s, data_inputs_, bias_, p); });
}

}  // namespace patchcl
