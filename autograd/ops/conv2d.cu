// Convolution on the GPU. f32 and bf16 go to cuDNN, one call for each data input, the second one adding to
// the first (cuDNN's beta), so that a concatenation needs no copy. Its algorithms come from lists of ones
// that repeat bit by bit, the first that cuDNN has for the sizes; no search. What cuDNN declines, and f64, is
// im2col and cuBLAS, a piece of the column matrix at a time, in order. With bf16 data the weight is rounded
// to bf16 when it is packed, and its gradient goes back to f32.
#include <cudnn.h>

#include <array>
#include <limits>
#include <map>

#include "autograd/ops/conv2d.h"
#include "autograd/ops/conv2d_sources_kernels.h"
#include "tensor/cuda_runtime.cuh"
#include "tensor/device.h"

namespace patchcl {

namespace {

// ---- cuDNN ----

// In order of preference. Left out because their sums have no fixed order: backward data ALGO_0, backward
// filter ALGO_0 and ALGO_3.
constexpr cudnnConvolutionFwdAlgo_t kForward[] = {
    CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM, CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM};
constexpr cudnnConvolutionBwdDataAlgo_t kData[] = {CUDNN_CONVOLUTION_BWD_DATA_ALGO_1};
constexpr cudnnConvolutionBwdFilterAlgo_t kFilter[] = {CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1};
constexpr size_t kMostRoom = size_t(1) << 30;  // an algorithm that wants more workspace is declined

void check(cudnnStatus_t status, const char* call, int line) {
  if (status != CUDNN_STATUS_SUCCESS)
    fail(ExitCode::device, "cudnn", call, " at ", __FILE__, ":", line,
        " failed: ", cudnnGetErrorString(status),
        "; the last checkpoint is intact, --resume goes on from it");
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

cudnnDataType_t cudnn_type(DType d) { return d == DType::bf16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT; }

// A descriptor of cuDNN's for as long as the object lives.
template <class D, cudnnStatus_t (*create)(D*), cudnnStatus_t (*destroy)(D)> struct Descriptor {
  D d;
  Descriptor() { CUDNN_CHECK(create(&d)); }
  ~Descriptor() { destroy(d); }
  Descriptor(const Descriptor&) = delete;
};

struct ImageDescriptor
    : Descriptor<cudnnTensorDescriptor_t, cudnnCreateTensorDescriptor, cudnnDestroyTensorDescriptor> {
  ImageDescriptor(DType type, int64_t n, int64_t h, int64_t w, int64_t c) {
    CUDNN_CHECK(
        cudnnSetTensor4dDescriptor(d, CUDNN_TENSOR_NHWC, cudnn_type(type), int(n), int(c), int(h), int(w)));
  }
};

struct FilterDescriptor  // (Cout, KH, KW, Cin)
    : Descriptor<cudnnFilterDescriptor_t, cudnnCreateFilterDescriptor, cudnnDestroyFilterDescriptor> {
  FilterDescriptor(DType type, const Conv2dSizes& s, int64_t cin) {
    CUDNN_CHECK(cudnnSetFilter4dDescriptor(
        d, cudnn_type(type), CUDNN_TENSOR_NHWC, int(s.cout), int(cin), int(s.kh), int(s.kw)));
  }
};

// No activation, for cuDNN's convolution that also adds the bias.
struct NoActivation : Descriptor<cudnnActivationDescriptor_t, cudnnCreateActivationDescriptor,
                          cudnnDestroyActivationDescriptor> {
  NoActivation() {
    CUDNN_CHECK(cudnnSetActivationDescriptor(d, CUDNN_ACTIVATION_IDENTITY, CUDNN_NOT_PROPAGATE_NAN, 0));
  }
};

struct ConvolutionDescriptor : Descriptor<cudnnConvolutionDescriptor_t, cudnnCreateConvolutionDescriptor,
                                   cudnnDestroyConvolutionDescriptor> {
  // Of f32 numbers tensor cores keep 11 bits, so they take those only when asked to (--math tf32).
  ConvolutionDescriptor(const Conv2dSizes& s, DType type) {
    const int p = int(s.padding), t = int(s.stride), l = int(s.dilation);
    CUDNN_CHECK(
        cudnnSetConvolution2dDescriptor(d, p, p, t, t, l, l, CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT));
    const bool tensor_cores = type == DType::bf16 || math_mode() == MathMode::tf32;
    CUDNN_CHECK(cudnnSetConvolutionMathType(d, tensor_cores ? CUDNN_TENSOR_OP_MATH : CUDNN_FMA_MATH));
  }
};

// The algorithm of one pass; none where cuDNN declines all of the list.
template <class Algorithm> struct AlgorithmChoice {
  bool found = false;
  Algorithm algorithm{};
  size_t bytes = 0;
  template <class Query> AlgorithmChoice(std::span<const Algorithm> list, Query&& query) {
    for (const Algorithm a : list)
      if (query(a, &bytes) == CUDNN_STATUS_SUCCESS && bytes <= kMostRoom) {
        found = true;
        algorithm = a;
        return;
      }
    bytes = 0;
  }
};

// One data input of a convolution as cuDNN sees it.
struct CudnnPlan {
  ImageDescriptor x, y, bias;
  FilterDescriptor w;
  ConvolutionDescriptor conv;
  NoActivation activation;
  // Forgotten when cuDNN declines the call itself.
  mutable AlgorithmChoice<cudnnConvolutionFwdAlgo_t> forward;
  mutable AlgorithmChoice<cudnnConvolutionBwdDataAlgo_t> data;
  mutable AlgorithmChoice<cudnnConvolutionBwdFilterAlgo_t> weight;
  mutable bool adds_bias;  // until cuDNN declines; it adds one with the first algorithm only
  CudnnPlan(const Conv2dSizes& s, int64_t channels, DType type)
      : x(type, s.n, s.h, s.w, channels), y(type, s.n, s.oh, s.ow, s.cout), bias(type, 1, 1, 1, s.cout),
        w(type, s, channels), conv(s, type),
        forward(kForward,
            [&](auto a, size_t* b) {
              return cudnnGetConvolutionForwardWorkspaceSize(cudnn(), x.d, w.d, conv.d, y.d, a, b);
            }),
        data(kData,
            [&](auto a, size_t* b) {
              return cudnnGetConvolutionBackwardDataWorkspaceSize(cudnn(), w.d, y.d, conv.d, x.d, a, b);
            }),
        weight(kFilter,
            [&](auto a, size_t* b) {
              return cudnnGetConvolutionBackwardFilterWorkspaceSize(cudnn(), x.d, y.d, conv.d, w.d, a, b);
            }),
        adds_bias(forward.found && forward.algorithm == kForward[0]) {}
  size_t bytes() const { return std::max({forward.bytes, data.bytes, weight.bytes}); }
};

// cuDNN's descriptors are of at most 2^31 - 1 elements.
bool too_large(const Conv2dSizes& s) {
  return std::max(s.n * s.h * s.w * s.cin, s.n * s.oh * s.ow * s.cout) > std::numeric_limits<int>::max();
}

// Made once for each size, type and arithmetic.
const CudnnPlan& plan(const Conv2dSizes& s, int64_t channels, DType type) {
  using Key = std::array<int64_t, 14>;
  static std::map<Key, CudnnPlan> plans;
  const Key key{s.n, s.h, s.w, channels, s.oh, s.ow, s.cout, s.kh, s.kw, s.stride, s.padding, s.dilation,
      int64_t(type), int64_t(math_mode())};
  const auto at = plans.find(key);
  return at != plans.end() ? at->second : plans.try_emplace(key, s, channels, type).first->second;
}

// Channels [begin, begin + count) of our weight (KH,KW,Cin,Cout) in cuDNN's order, and its gradient back.
template <class T>
void pack_weight(const Conv2dSizes& s, const Precise<T>* w, int64_t begin, int64_t count, T* packed) {
  const int64_t taps = s.taps(), cin = s.cin, cout = s.cout;
  cuda::for_each(cout * taps * count, [=] __device__(int64_t e) {
    const int64_t c = e % count, t = e / count % taps, o = e / count / taps;
    packed[e] = T(w[(t * cin + begin + c) * cout + o]);
  });
}
template <class T> void unpack_gradient(
    const Conv2dSizes& s, const T* packed, int64_t begin, int64_t count, Precise<T>* dw, bool accumulate) {
  const int64_t taps = s.taps(), cin = s.cin, cout = s.cout;
  cuda::for_each(taps * count * cout, [=] __device__(int64_t e) {
    const int64_t o = e % cout, c = e / cout % count, t = e / cout / count;
    store(dw[(t * cin + begin + c) * cout + o], Precise<T>(packed[(o * taps + t) * count + c]), accumulate);
  });
}

constexpr int64_t kBiasChunks = 4096;

// The workspace: copies of the weight and the bias for another layout or type, then room for cuDNN, a piece
// of a column matrix or the bias's sums.
struct Conv2dScratch {
  size_t weight_bytes, bias_bytes, room_bytes;
  void *weights = nullptr, *biases = nullptr, *room = nullptr;

  Conv2dScratch(const Conv2dSizes& s, const std::vector<int64_t>& channels, DType type) {
    const auto round = [](size_t bytes) { return (bytes + 255) / 256 * 256; };
    weight_bytes = round(size_t(s.weights()) * dtype_size(type));
    bias_bytes = round(size_t(s.cout) * dtype_size(type));
    room_bytes = size_t(kBiasChunks * s.cout) * sizeof(double);
    bool general = type == DType::f64 || too_large(s);
    if (!general)
      for (const int64_t c : channels) {
        const CudnnPlan& p = plan(s, c, type);
        room_bytes = std::max(room_bytes, p.bytes());
        general |= !p.forward.found || !p.data.found || !p.weight.found;
      }
    if (general) {  // the longer of a row of either direction's column matrix, times the pixels, as far as 64
                    // MiB go
      const int64_t row = s.taps() * std::max(s.cin, s.cout), rows = s.n * std::max(s.h * s.w, s.oh * s.ow);
      constexpr int64_t kMost = int64_t(64) << 20;
      const int64_t element = int64_t(dtype_size(type));
      room_bytes =
          std::max(room_bytes, size_t(std::max(row, std::min(rows * row, kMost / element)) * element));
    }
    room_bytes = round(room_bytes);
  }
  // The room is what the workspace has left: cuDNN may have declined a call since that was measured.
  Conv2dScratch(
      const Conv2dSizes& s, const std::vector<int64_t>& channels, DType type, const Tensor& workspace)
      : Conv2dScratch(s, channels, type) {
    room_bytes = workspace.bytes() - weight_bytes - bias_bytes;
    char* at = static_cast<char*>(workspace.raw());
    weights = at;
    biases = at + weight_bytes;
    room = at + weight_bytes + bias_bytes;
  }
  size_t bytes() const { return weight_bytes + bias_bytes + room_bytes; }
};

template <class T> void add_bias(const Conv2dSizes& s, const Precise<T>* b, T* y) {
  const int64_t cout = s.cout;
  cuda::for_each(s.n * s.oh * s.ow * cout, [=] __device__(int64_t e) { y[e] = T(y[e] + b[e % cout]); });
}

// The numbers as T: themselves, or rounded into `room`.
template <class T> const T* rounded(const Precise<T>* v, int64_t n, T* room) {
  if constexpr (std::is_same_v<T, Precise<T>>) return v;
  else {
    cuda::for_each(n, [=] __device__(int64_t e) { room[e] = T(v[e]); });
    return room;
  }
}

// y = [y +] x * w + b in one pass over memory; false when cuDNN declines. The weight is packed.
template <class T> bool cudnn_forward_with_bias(const Conv2dSizes& s, const CudnnPlan& p, const T* x,
    bool accumulate, const float* b, T* y, const Conv2dScratch& scratch) {
  if (!p.adds_bias) return false;
  const float one = 1, keep = accumulate;
  const T* bias = rounded<T>(b, s.cout, static_cast<T*>(scratch.biases));
  const auto status = cudnnConvolutionBiasActivationForward(cudnn(), &one, p.x.d, x, p.w.d, scratch.weights,
      p.conv.d, p.forward.algorithm, scratch.room, scratch.room_bytes, &keep, p.y.d, y, p.bias.d, bias,
      p.activation.d, p.y.d, y);
  p.adds_bias = status == CUDNN_STATUS_SUCCESS;
  return p.adds_bias;
}

// After a call: false where cuDNN declined it, so that im2col does it now and from now on. With `written`,
// the call before has left a part of the result, which nobody can take back.
template <class Algorithm>
bool accepted(cudnnStatus_t status, AlgorithmChoice<Algorithm>& choice, bool written, int line) {
  if (status == CUDNN_STATUS_SUCCESS) return true;
  if (written) check(status, "the convolution of a further data input", line);
  choice.found = false;
  return false;
}

// Each returns false, the result as it was, when cuDNN declines.
template <class T> bool cudnn_forward(const Conv2dSizes& s, const Concatenation<const T>& x, const float* w,
    const float* b, T* y, const Conv2dScratch& scratch) {
  if (too_large(s)) return false;
  constexpr DType type = DTypeOf<T>::value;
  for (const auto& in : x)
    if (!plan(s, in.count, type).forward.found) return false;
  for (const auto& in : x) {
    const CudnnPlan& p = plan(s, in.count, type);
    const float alpha = 1, beta = in.begin > 0;
    pack_weight<T>(s, w, in.begin, in.count, static_cast<T*>(scratch.weights));
    const bool last = in.begin + in.count == s.cin;
    if (last && b && cudnn_forward_with_bias<T>(s, p, in.data, beta != 0, b, y, scratch)) return true;
    const auto status = cudnnConvolutionForward(cudnn(), &alpha, p.x.d, in.data, p.w.d, scratch.weights,
        p.conv.d, p.forward.algorithm, scratch.room, scratch.room_bytes, &beta, p.y.d, y);
    if (!accepted(status, p.forward, /*written=*/false, __LINE__)) return false;  // im2col overwrites y
  }
  if (b) add_bias<T>(s, b, y);
  return true;
}

template <class T> bool cudnn_backward_data(const Conv2dSizes& s, const T* dy, const float* w,
    const Concatenation<T>& dx, const Conv2dScratch& scratch) {
  if (too_large(s)) return false;
  constexpr DType type = DTypeOf<T>::value;
  for (const auto& out : dx)
    if (!plan(s, out.count, type).data.found) return false;
  bool written = false;
  for (const auto& out : dx) {
    if (!out.data) continue;
    const CudnnPlan& p = plan(s, out.count, type);
    const float alpha = 1, beta = out.accumulate;
    pack_weight<T>(s, w, out.begin, out.count, static_cast<T*>(scratch.weights));
    const auto status = cudnnConvolutionBackwardData(cudnn(), &alpha, p.w.d, scratch.weights, p.y.d, dy,
        p.conv.d, p.data.algorithm, scratch.room, scratch.room_bytes, &beta, p.x.d, out.data);
    if (!accepted(status, p.data, written, __LINE__)) return false;
    written = true;
  }
  return true;
}

template <class T> bool cudnn_backward_weight(const Conv2dSizes& s, const Concatenation<const T>& x,
    const T* dy, const GradOut& dw, const Conv2dScratch& scratch) {
  if (too_large(s)) return false;
  constexpr DType type = DTypeOf<T>::value;
  for (const auto& in : x)
    if (!plan(s, in.count, type).weight.found) return false;
  bool written = false;
  for (const auto& in : x) {
    const CudnnPlan& p = plan(s, in.count, type);
    const float alpha = 1, beta = 0;
    const auto status = cudnnConvolutionBackwardFilter(cudnn(), &alpha, p.x.d, in.data, p.y.d, dy, p.conv.d,
        p.weight.algorithm, scratch.room, scratch.room_bytes, &beta, p.w.d, scratch.weights);
    if (!accepted(status, p.weight, written, __LINE__)) return false;
    written = true;
    unpack_gradient<T>(
        s, static_cast<T*>(scratch.weights), in.begin, in.count, dw.t.data<float>(), dw.accumulate);
  }
  return true;
}

// ---- im2col and cuBLAS ----

// One direction of the convolution: y (pixels, .) from rows of a column matrix over x (n,h,w,channels).
template <class T> struct Columns {
  Concatenation<const T> x;
  Gather from;
  int64_t channels, h, w;  // of the source
  int64_t kh, kw, oh, ow;  // of the result
  int64_t depth() const { return kh * kw * channels; }

  // Rows [first, first + rows), one for each pixel of the result.
  void fill(int64_t first, int64_t rows, T* column) const {
    const Columns<T> m = *this;
    const int64_t k = depth();
    cuda::for_each(rows * k, [=] __device__(int64_t e) {
      const int64_t c = e % m.channels, tap = e % k / m.channels, p = first + e / k;
      const int64_t iy = m.from.at(p / m.ow % m.oh, tap / m.kw, m.h),
                    ix = m.from.at(p % m.ow, tap % m.kw, m.w);
      const ConvSource<const T>& in = m.x.of(c);
      column[e] = iy < 0 || ix < 0
                      ? T(0)
                      : in.data[((p / m.ow / m.oh * m.h + iy) * m.w + ix) * in.count + c - in.begin];
    });
  }

  // fn(first, rows) over all pixels of n images, in pieces for which fill() has just run.
  template <class F> void for_pieces(int64_t n, const Conv2dScratch& scratch, F&& fn) const {
    const int64_t pixels = n * oh * ow,
                  most = std::max<int64_t>(1, int64_t(scratch.room_bytes / sizeof(T)) / depth());
    for (int64_t first = 0; first < pixels; first += most) {
      const int64_t rows = std::min(most, pixels - first);
      fill(first, rows, static_cast<T*>(scratch.room));
      fn(first, rows);
    }
  }
};

template <class T> Columns<T> forward_columns(const Conv2dSizes& s, const Concatenation<const T>& x) {
  return {x, forward_gather(s), s.cin, s.h, s.w, s.kh, s.kw, s.oh, s.ow};
}

template <class T> void general_forward(const Conv2dSizes& s, const Concatenation<const T>& x,
    const Precise<T>* w, const Precise<T>* b, T* y, const Conv2dScratch& scratch) {
  const Columns<T> columns = forward_columns(s, x);
  const int64_t k = columns.depth();
  const T* weight = rounded<T>(w, s.weights(), static_cast<T*>(scratch.weights));
  columns.for_pieces(s.n, scratch, [&](int64_t first, int64_t rows) {
    cuda::gemm(false, false, rows, s.cout, k, Precise<T>(1), static_cast<T*>(scratch.room), k, weight, s.cout,
        Precise<T>(0), y + first * s.cout, s.cout);
  });
  if (b) add_bias<T>(s, b, y);
}

template <class T> void general_backward_data(const Conv2dSizes& s, const T* dy, const Precise<T>* w,
    const Concatenation<T>& dx, const Conv2dScratch& scratch) {
  const Columns<T> columns{
      Concatenation<const T>(dy, s.cout), backward_gather(s), s.cout, s.oh, s.ow, s.kh, s.kw, s.h, s.w};
  const int64_t k = columns.depth(), cin = s.cin, cout = s.cout;
  T* transposed = static_cast<T*>(scratch.weights);  // (KH,KW,Cout,Cin)
  cuda::for_each(s.weights(), [=] __device__(int64_t e) {
    transposed[e] = T(w[(e / cin / cout * cin + e % cin) * cout + e / cin % cout]);
  });
  columns.for_pieces(s.n, scratch, [&](int64_t first, int64_t rows) {
    for (const auto& out : dx)
      if (out.data)
        cuda::gemm(false, false, rows, out.count, k, Precise<T>(1), static_cast<T*>(scratch.room), k,
            transposed + out.begin, cin, Precise<T>(out.accumulate), out.data + first * out.count, out.count);
  });
}

template <class T> void general_backward_weight(const Conv2dSizes& s, const Concatenation<const T>& x,
    const T* dy, const GradOut& dw, const Conv2dScratch& scratch) {
  const Columns<T> columns = forward_columns(s, x);
  const int64_t k = columns.depth();
  columns.for_pieces(s.n, scratch, [&](int64_t first, int64_t rows) {
    cuda::gemm(true, false, k, s.cout, rows, Precise<T>(1), static_cast<T*>(scratch.room), k,
        dy + first * s.cout, s.cout, Precise<T>(first > 0 || dw.accumulate), dw.t.data<Precise<T>>(), s.cout);
  });
}

// ---- the bias's gradient ----

// Total of one channel's partial sums.
template <class T> struct SumPartials {
  const double* partial;  // (channel, chunk)
  int64_t chunks;
  T* db;
  bool accumulate;
  template <int kLanes> __device__ void operator()(int64_t channel, cuda::Lanes<kLanes> lanes) const {
    const double sum = lanes.total(chunks, [&](int64_t g) { return partial[channel * chunks + g]; });
    if (lanes.lane == 0) store(db[channel], T(sum), accumulate);
  }
};

template <class T>
void backward_bias(const Conv2dSizes& s, const T* dy, const GradOut& db, const Conv2dScratch& scratch) {
  const int64_t pixels = s.n * s.oh * s.ow, cout = s.cout, chunks = std::min(pixels, kBiasChunks);
  double* partial = static_cast<double*>(scratch.room);
  cuda::for_each(chunks * cout, [=] __device__(int64_t e) {
    const int64_t o = e % cout, g = e / cout;
    double sum = 0;
    for (int64_t p = pixels * g / chunks; p < pixels * (g + 1) / chunks; ++p) sum += double(dy[p * cout + o]);
    partial[o * chunks + g] = sum;
  });
  using P = Precise<T>;
  cuda::for_each_row(cout, chunks, SumPartials<P>{partial, chunks, db.t.data<P>(), db.accumulate});
}

// ---- the two passes ----

template <class T> void launch_forward(const Conv2dSizes& s, const Concatenation<const T>& x, const Tensor& w,
    const Tensor* b, T* y, const Conv2dScratch& scratch) {
  using P = Precise<T>;
  const P* bias = b ? b->data<P>() : nullptr;
  bool done = false;
  if constexpr (!std::is_same_v<T, double>) done = cudnn_forward<T>(s, x, w.data<P>(), bias, y, scratch);
  if (!done) general_forward<T>(s, x, w.data<P>(), bias, y, scratch);
}

template <class T> void launch_backward(
    const Conv2dSizes& s, size_t k, bool bias, const Backward& p, const Conv2dScratch& scratch) {
  const Concatenation<const T> x(p.x.first(k));
  const Concatenation<T> dx(p.dx.first(k), p.x.first(k));
  const auto* w = p.x[k].data<Precise<T>>();
  const T* dy = p.dy.data<T>();
  constexpr bool f64 = std::is_same_v<T, double>;
  if (dx.wanted()) {
    bool done = false;
    if constexpr (!f64) done = cudnn_backward_data<T>(s, dy, w, dx, scratch);
    if (!done) general_backward_data<T>(s, dy, w, dx, scratch);
  }
  if (p.dx[k]) {
    bool done = false;
    if constexpr (!f64) done = cudnn_backward_weight<T>(s, x, dy, p.dx[k], scratch);
    if (!done) general_backward_weight<T>(s, x, dy, p.dx[k], scratch);
  }
  if (bias && p.dx.back()) backward_bias<T>(s, dy, p.dx.back(), scratch);
}

std::vector<int64_t> channels_of(const Shapes& x, int data_inputs) {
  std::vector<int64_t> channels;
  for (int i = 0; i < data_inputs; ++i) channels.push_back(x[size_t(i)][3]);
  return channels;
}

}  // namespace

size_t Conv2d::workspace_cuda(const Shapes& x, DType dtype) const {
  return Conv2dScratch(sizes(x), channels_of(x, data_inputs_), dtype).bytes();
}

void Conv2d::forward_cuda(const Forward& f) const {
  const Shapes shapes = shapes_of(f.x);
  const Conv2dSizes s = sizes(shapes);
  const size_t k = size_t(data_inputs_);
  const Conv2dScratch scratch(s, channels_of(shapes, data_inputs_), f.y.dtype(), f.workspace);
  dispatch_data(f.y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    launch_forward<T>(s, Concatenation<const T>(f.x.first(k)), f.x[k], bias_ ? &f.x.back() : nullptr,
        f.y.data<T>(), scratch);
  });
}

void Conv2d::backward_cuda(const Backward& p) const {
  const Shapes shapes = shapes_of(p.x);
  const Conv2dSizes s = sizes(shapes);
  const Conv2dScratch scratch(s, channels_of(shapes, data_inputs_), p.dy.dtype(), p.workspace);
  dispatch_data(p.dy.dtype(),
      [&](auto zero) { launch_backward<decltype(zero)>(s, size_t(data_inputs_), bias_, p, scratch); });
}

}  // namespace patchcl
