// cuBLAS and cuDNN of the emulated GPU, written from their definitions. Factors are rounded as the mode of
// arithmetic rounds them (TF32 keeps 10 bits of the mantissa, bfloat16 seven), sums are in f32.
#include <algorithm>
#include <bit>
#include <memory>
#include <vector>

#include <Eigen/Core>

#include "cublas_v2.h"
#include "cudnn.h"
#include "tensor/parallel.h"

struct cublasContext {
  cudaStream_t stream = nullptr;
  bool tf32 = false;
};
struct cudnnContext {
  cudaStream_t stream = nullptr;
};

namespace {

// To the nearest number with `dropped` fewer bits of mantissa, ties to even.
float rounded(float v, int dropped) {
  const uint32_t bits = std::bit_cast<uint32_t>(v);
  if ((bits & 0x7f800000u) == 0x7f800000u) return v;
  const uint32_t half = (1u << (dropped - 1)) - 1, odd = bits >> dropped & 1;
  return std::bit_cast<float>((bits + half + odd) >> dropped << dropped);
}
constexpr int kTf32Drops = 13, kBf16Drops = 16;

enum class Type { f32, bf16 };
Type type_of(cudaDataType_t t) { return t == CUDA_R_16BF ? Type::bf16 : Type::f32; }
Type type_of(cudnnDataType_t t) { return t == CUDNN_DATA_BFLOAT16 ? Type::bf16 : Type::f32; }

float get(const void* p, int64_t i, Type t) {
  if (t == Type::f32) return static_cast<const float*>(p)[i];
  return std::bit_cast<float>(uint32_t(static_cast<const uint16_t*>(p)[i]) << 16);
}
void put(void* p, int64_t i, Type t, float v) {
  if (t == Type::f32) static_cast<float*>(p)[i] = v;
  else static_cast<uint16_t*>(p)[i] = uint16_t(std::bit_cast<uint32_t>(rounded(v, kBf16Drops)) >> 16);
}
std::vector<float> factors(const void* p, int64_t n, Type t, bool tf32) {
  std::vector<float> v(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) v[size_t(i)] = tf32 ? rounded(get(p, i, t), kTf32Drops) : get(p, i, t);
  return v;
}
// out = value + beta out
void blend(void* p, int64_t i, Type t, float value, float beta) {
  put(p, i, t, beta == 0 ? value : value + beta * get(p, i, t));
}

cublasStatus_t status_of(cudaError_t e) {
  return e == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

template <class T> struct Product {
  bool ta, tb;
  int m, n, k, lda, ldb, ldc;
  T alpha, beta;
  using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic>;
  using Stored = Eigen::Map<const Matrix, 0, Eigen::OuterStride<>>;
  Matrix operator()(const T* a, const T* b) const {
    const Stored A(a, ta ? k : m, ta ? m : k, Eigen::OuterStride<>(lda)),
        B(b, tb ? n : k, tb ? k : n, Eigen::OuterStride<>(ldb));
    const Matrix opA = ta ? Matrix(A.transpose()) : Matrix(A), opB = tb ? Matrix(B.transpose()) : Matrix(B);
    return alpha * (opA * opB);
  }
  bool is_valid() const { return lda >= (ta ? k : m) && ldb >= (tb ? n : k) && ldc >= m; }
  int64_t a_size() const { return int64_t(lda) * ((ta ? m : k) - 1) + (ta ? k : m); }
  int64_t b_size() const { return int64_t(ldb) * ((tb ? k : n) - 1) + (tb ? n : k); }
};

cublasStatus_t product(
    cublasHandle_t h, Product<float> p, const void* a, Type at, const void* b, Type bt, void* c, Type ct) {
  if (!p.is_valid()) return CUBLAS_STATUS_INVALID_VALUE;
  const bool tf32 = h->tf32 && at == Type::f32;
  return status_of(emulated_gpu::enqueue(h->stream, [=] {
    if (p.k <= 0) return;
    const auto fa = factors(a, p.a_size(), at, tf32), fb = factors(b, p.b_size(), bt, tf32);
    const auto sum = p(fa.data(), fb.data());
    for (int j = 0; j < p.n; ++j)
      for (int i = 0; i < p.m; ++i) blend(c, i + int64_t(j) * p.ldc, ct, sum(i, j), p.beta);
  }));
}

// One convolution in f32 on unpacked operands: w is (out, taps, in).
struct Convolution {
  EmulatedTensor x, y;
  EmulatedFilter w;
  EmulatedConvolution conv;

  int64_t x_size() const { return int64_t(x.n) * x.h * x.w * x.c; }
  int64_t y_size() const { return int64_t(y.n) * y.h * y.w * y.c; }
  int64_t w_size() const { return int64_t(w.out) * w.kh * w.kw * w.in; }
  bool tf32() const { return conv.math == CUDNN_TENSOR_OP_MATH; }
  bool fits() const {
    const auto length = [&](int in, int k) {
      return (in + 2 * conv.pad - conv.dilation * (k - 1) - 1) / conv.stride + 1;
    };
    return x.c == w.in && y.c == w.out && x.n == y.n && y.h == length(x.h, w.kh) &&
           y.w == length(x.w, w.kw) && x.type == y.type && x.type == w.type;
  }

  // fn(pixel of y, tap, pixel of x) for the taps inside the image, image by image, in rows [first, last) of
  // all the images' rows of y.
  template <class F> void for_taps(int64_t first, int64_t last, F&& fn) const {
    for (int64_t row = first; row < last; ++row)
      for (int t = 0; t < w.kh * w.kw; ++t) {
        const int64_t iy = row % y.h * conv.stride - conv.pad + t / w.kw * conv.dilation;
        if (iy < 0 || iy >= x.h) continue;
        for (int64_t ox = 0; ox < y.w; ++ox) {
          const int64_t ix = ox * conv.stride - conv.pad + t % w.kw * conv.dilation;
          if (ix >= 0 && ix < x.w) fn(row * y.w + ox, t, (row / y.h * x.h + iy) * x.w + ix);
        }
      }
  }

  std::vector<float> forward(const std::vector<float>& in, const std::vector<float>& weight) const {
    const int taps = w.kh * w.kw, C = x.c, O = y.c;
    std::vector<float> by_tap(weight.size()), out(size_t(y_size()), 0.f);  // (taps, in, out)
    for (int o = 0; o < O; ++o)
      for (int t = 0; t < taps; ++t)
        for (int c = 0; c < C; ++c)
          by_tap[size_t((t * C + c) * O + o)] = weight[size_t((o * taps + t) * C + c)];
    patchcl::parallel_for(int64_t(y.n) * y.h, [&](int64_t row) {
      for_taps(row, row + 1, [&](int64_t to, int t, int64_t from) {
        for (int c = 0; c < C; ++c) {
          const float v = in[size_t(from * C + c)];
          const float* f = &by_tap[size_t((t * C + c) * O)];
          for (int o = 0; o < O; ++o) out[size_t(to * O + o)] += v * f[o];
        }
      });
    });
    return out;
  }
  std::vector<float> backward_data(const std::vector<float>& dy, const std::vector<float>& weight) const {
    const int taps = w.kh * w.kw, C = x.c, O = y.c;
    std::vector<float> dx(size_t(x_size()), 0.f);
    patchcl::parallel_for(y.n, [&](int64_t image) {
      for_taps(image * y.h, (image + 1) * y.h, [&](int64_t from, int t, int64_t to) {
        for (int o = 0; o < O; ++o) {
          const float v = dy[size_t(from * O + o)];
          const float* f = &weight[size_t((o * taps + t) * C)];
          for (int c = 0; c < C; ++c) dx[size_t(to * C + c)] += v * f[c];
        }
      });
    });
    return dx;
  }
  std::vector<float> backward_weight(const std::vector<float>& in, const std::vector<float>& dy) const {
    const int taps = w.kh * w.kw, C = x.c, O = y.c;
    std::vector<float> dw(size_t(w_size()), 0.f);
    patchcl::parallel_for(O, [&](int64_t o) {
      for_taps(0, int64_t(y.n) * y.h, [&](int64_t at, int t, int64_t from) {
        const float v = dy[size_t(at * O + o)];
        float* f = &dw[size_t((o * taps + t) * C)];
        for (int c = 0; c < C; ++c) f[c] += v * in[size_t(from * C + c)];
      });
    });
    return dw;
  }
};

bool declines(const Convolution& c) { return c.x.c == 1 && c.y.c == 1; }  // what it named a workspace for

// Runs one pass of `c` on the stream: operands a and b in, result out.
using Pass = std::vector<float> (Convolution::*)(const std::vector<float>&, const std::vector<float>&) const;
cudnnStatus_t convolve(cudnnHandle_t h, const Convolution& c, Pass pass, const void* a, int64_t a_size,
    const void* b, int64_t b_size, void* to, const void* alpha, const void* beta) {
  if (!c.fits()) return CUDNN_STATUS_BAD_PARAM;
  if (declines(c)) return CUDNN_STATUS_NOT_SUPPORTED;
  const float scale = *static_cast<const float*>(alpha), keep = *static_cast<const float*>(beta);
  const Type type = type_of(c.x.type);
  return emulated_gpu::enqueue(h->stream,
             [=] {
               const auto out =
                   (c.*pass)(factors(a, a_size, type, c.tf32()), factors(b, b_size, type, c.tf32()));
               for (size_t i = 0; i < out.size(); ++i) blend(to, int64_t(i), type, scale * out[i], keep);
             }) == cudaSuccess
             ? CUDNN_STATUS_SUCCESS
             : CUDNN_STATUS_NOT_SUPPORTED;
}

template <class T> cudnnStatus_t created(T** handle) {
  *handle = new T{};
  return CUDNN_STATUS_SUCCESS;
}
template <class T> cudnnStatus_t discarded(T* handle) {
  delete handle;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t workspace(const Convolution& c, size_t* bytes) {
  *bytes = declines(c) ? 256 : 1 << 20;
  return c.fits() ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_BAD_PARAM;
}

}  // namespace

const char* cublasGetStatusString(cublasStatus_t s) {
  return s == CUBLAS_STATUS_SUCCESS ? "success" : "execution failed";
}
cublasStatus_t cublasCreate(cublasHandle_t* h) {
  *h = new cublasContext;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetStream(cublasHandle_t h, cudaStream_t s) {
  h->stream = s;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetWorkspace(cublasHandle_t, void*, size_t) { return CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasSetMathMode(cublasHandle_t h, cublasMath_t mode) {
  h->tf32 = mode == CUBLAS_TF32_TENSOR_OP_MATH;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSgemm(cublasHandle_t h, cublasOperation_t ta, cublasOperation_t tb, int m, int n, int k,
    const float* alpha, const float* a, int lda, const float* b, int ldb, const float* beta, float* c,
    int ldc) {
  return product(h, {ta == CUBLAS_OP_T, tb == CUBLAS_OP_T, m, n, k, lda, ldb, ldc, *alpha, *beta}, a,
      Type::f32, b, Type::f32, c, Type::f32);
}
cublasStatus_t cublasGemmEx(cublasHandle_t h, cublasOperation_t ta, cublasOperation_t tb, int m, int n, int k,
    const void* alpha, const void* a, cudaDataType_t a_type, int lda, const void* b, cudaDataType_t b_type,
    int ldb, const void* beta, void* c, cudaDataType_t c_type, int ldc, cublasComputeType_t,
    cublasGemmAlgo_t) {
  if (a_type != b_type) return CUBLAS_STATUS_INVALID_VALUE;
  return product(h,
      {ta == CUBLAS_OP_T, tb == CUBLAS_OP_T, m, n, k, lda, ldb, ldc, *static_cast<const float*>(alpha),
          *static_cast<const float*>(beta)},
      a, type_of(a_type), b, type_of(b_type), c, type_of(c_type));
}
cublasStatus_t cublasDgemm(cublasHandle_t h, cublasOperation_t ta, cublasOperation_t tb, int m, int n, int k,
    const double* alpha, const double* a, int lda, const double* b, int ldb, const double* beta, double* c,
    int ldc) {
  const Product<double> p{ta == CUBLAS_OP_T, tb == CUBLAS_OP_T, m, n, k, lda, ldb, ldc, *alpha, *beta};
  if (!p.is_valid()) return CUBLAS_STATUS_INVALID_VALUE;
  return status_of(emulated_gpu::enqueue(h->stream, [=] {
    const auto sum = p(a, b);
    for (int j = 0; j < p.n; ++j)
      for (int i = 0; i < p.m; ++i) {
        double& to = c[i + int64_t(j) * p.ldc];
        to = p.beta == 0 ? sum(i, j) : sum(i, j) + p.beta * to;
      }
  }));
}

const char* cudnnGetErrorString(cudnnStatus_t s) {
  if (s == CUDNN_STATUS_SUCCESS) return "CUDNN_STATUS_SUCCESS";
  return s == CUDNN_STATUS_BAD_PARAM ? "CUDNN_STATUS_BAD_PARAM" : "CUDNN_STATUS_NOT_SUPPORTED";
}
cudnnStatus_t cudnnCreate(cudnnHandle_t* h) { return created(h); }
cudnnStatus_t cudnnSetStream(cudnnHandle_t h, cudaStream_t s) {
  h->stream = s;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnCreateTensorDescriptor(cudnnTensorDescriptor_t* d) { return created(d); }
cudnnStatus_t cudnnSetTensor4dDescriptor(
    cudnnTensorDescriptor_t d, cudnnTensorFormat_t f, cudnnDataType_t t, int n, int c, int h, int w) {
  *d = {n, h, w, c, t};
  return f == CUDNN_TENSOR_NHWC ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_NOT_SUPPORTED;
}
cudnnStatus_t cudnnDestroyTensorDescriptor(cudnnTensorDescriptor_t d) { return discarded(d); }
cudnnStatus_t cudnnCreateFilterDescriptor(cudnnFilterDescriptor_t* d) { return created(d); }
cudnnStatus_t cudnnSetFilter4dDescriptor(
    cudnnFilterDescriptor_t d, cudnnDataType_t t, cudnnTensorFormat_t f, int k, int c, int h, int w) {
  *d = {k, h, w, c, t};
  return f == CUDNN_TENSOR_NHWC ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_NOT_SUPPORTED;
}
cudnnStatus_t cudnnDestroyFilterDescriptor(cudnnFilterDescriptor_t d) { return discarded(d); }
cudnnStatus_t cudnnCreateConvolutionDescriptor(cudnnConvolutionDescriptor_t* d) { return created(d); }
cudnnStatus_t cudnnSetConvolution2dDescriptor(cudnnConvolutionDescriptor_t d, int pad_h, int pad_w, int u,
    int v, int dilation_h, int dilation_w, cudnnConvolutionMode_t mode, cudnnDataType_t compute) {
  if (pad_h != pad_w || u != v || dilation_h != dilation_w || mode != CUDNN_CROSS_CORRELATION ||
      compute != CUDNN_DATA_FLOAT)
    return CUDNN_STATUS_NOT_SUPPORTED;
  *d = {pad_h, u, dilation_h};
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetConvolutionMathType(cudnnConvolutionDescriptor_t d, cudnnMathType_t m) {
  d->math = m;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnDestroyConvolutionDescriptor(cudnnConvolutionDescriptor_t d) { return discarded(d); }

cudnnStatus_t cudnnCreateActivationDescriptor(cudnnActivationDescriptor_t* d) { return created(d); }
cudnnStatus_t cudnnSetActivationDescriptor(
    cudnnActivationDescriptor_t d, cudnnActivationMode_t mode, cudnnNanPropagation_t, double) {
  *d = mode;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnDestroyActivationDescriptor(cudnnActivationDescriptor_t d) { return discarded(d); }

cudnnStatus_t cudnnGetConvolutionForwardWorkspaceSize(cudnnHandle_t, cudnnTensorDescriptor_t x,
    cudnnFilterDescriptor_t w, cudnnConvolutionDescriptor_t conv, cudnnTensorDescriptor_t y,
    cudnnConvolutionFwdAlgo_t, size_t* bytes) {
  return workspace({*x, *y, *w, *conv}, bytes);
}
cudnnStatus_t cudnnGetConvolutionBackwardDataWorkspaceSize(cudnnHandle_t, cudnnFilterDescriptor_t w,
    cudnnTensorDescriptor_t dy, cudnnConvolutionDescriptor_t conv, cudnnTensorDescriptor_t dx,
    cudnnConvolutionBwdDataAlgo_t, size_t* bytes) {
  return workspace({*dx, *dy, *w, *conv}, bytes);
}
cudnnStatus_t cudnnGetConvolutionBackwardFilterWorkspaceSize(cudnnHandle_t, cudnnTensorDescriptor_t x,
    cudnnTensorDescriptor_t dy, cudnnConvolutionDescriptor_t conv, cudnnFilterDescriptor_t dw,
    cudnnConvolutionBwdFilterAlgo_t, size_t* bytes) {
  return workspace({*x, *dy, *dw, *conv}, bytes);
}
cudnnStatus_t cudnnConvolutionForward(cudnnHandle_t h, const void* alpha, cudnnTensorDescriptor_t xd,
    const void* x, cudnnFilterDescriptor_t wd, const void* w, cudnnConvolutionDescriptor_t conv,
    cudnnConvolutionFwdAlgo_t, void*, size_t, const void* beta, cudnnTensorDescriptor_t yd, void* y) {
  const Convolution c{*xd, *yd, *wd, *conv};
  return convolve(h, c, &Convolution::forward, x, c.x_size(), w, c.w_size(), y, alpha, beta);
}
cudnnStatus_t cudnnConvolutionBiasActivationForward(cudnnHandle_t h, const void* scale,
    cudnnTensorDescriptor_t xd, const void* x, cudnnFilterDescriptor_t wd, const void* w,
    cudnnConvolutionDescriptor_t conv, cudnnConvolutionFwdAlgo_t a, void*, size_t, const void* z_scale,
    cudnnTensorDescriptor_t, const void* z, cudnnTensorDescriptor_t, const void* bias,
    cudnnActivationDescriptor_t, cudnnTensorDescriptor_t yd, void* y) {
  const Convolution c{*xd, *yd, *wd, *conv};
  if (!c.fits() || c.x.c == 1 || a != CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM)
    return CUDNN_STATUS_NOT_SUPPORTED;
  const Type type = type_of(c.x.type);
  const float s = *static_cast<const float*>(scale), keep = *static_cast<const float*>(z_scale);
  return emulated_gpu::enqueue(h->stream,
             [=] {
               const auto out =
                   c.forward(factors(x, c.x_size(), type, c.tf32()), factors(w, c.w_size(), type, c.tf32()));
               for (size_t i = 0; i < out.size(); ++i)
                 put(y, int64_t(i), type,
                     s * out[i] + (keep == 0 ? 0 : keep * get(z, int64_t(i), type)) +
                         get(bias, int64_t(i) % c.y.c, type));
             }) == cudaSuccess
             ? CUDNN_STATUS_SUCCESS
             : CUDNN_STATUS_NOT_SUPPORTED;
}
cudnnStatus_t cudnnConvolutionBackwardData(cudnnHandle_t h, const void* alpha, cudnnFilterDescriptor_t wd,
    const void* w, cudnnTensorDescriptor_t dyd, const void* dy, cudnnConvolutionDescriptor_t conv,
    cudnnConvolutionBwdDataAlgo_t, void*, size_t, const void* beta, cudnnTensorDescriptor_t dxd, void* dx) {
  const Convolution c{*dxd, *dyd, *wd, *conv};
  return convolve(h, c, &Convolution::backward_data, dy, c.y_size(), w, c.w_size(), dx, alpha, beta);
}
cudnnStatus_t cudnnConvolutionBackwardFilter(cudnnHandle_t h, const void* alpha, cudnnTensorDescriptor_t xd,
    const void* x, cudnnTensorDescriptor_t dyd, const void* dy, cudnnConvolutionDescriptor_t conv,
    cudnnConvolutionBwdFilterAlgo_t, void*, size_t, const void* beta, cudnnFilterDescriptor_t dwd, void* dw) {
  const Convolution c{*xd, *dyd, *dwd, *conv};
  return convolve(h, c, &Convolution::backward_weight, x, c.x_size(), dy, c.y_size(), dw, alpha, beta);
}
