// What every .cu file shares: the stream, checked calls, loops over elements and rows, sums in a fixed order.
//
// Kernels are written as device lambdas:  cuda::for_each(n, [=] __device__(int64_t i) { y[i] = a[i] + b[i];
// }); nvcc forbids such a lambda inside a generic lambda or a protected member, so an op's forward_cuda
// dispatches to a function template in its .cu file, and that launches. Everything runs in order on one
// stream, nothing here waits, and no sum uses atomics: equal inputs give equal bits.
#pragma once
#include <cublas_v2.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <source_location>
#include <type_traits>

#include "tensor/cuda.h"
#include "tensor/error.h"
#include "tensor/shape.h"

namespace patchcl::cuda {

// The stream of all kernels, copies and library calls of this program.
cudaStream_t stream();
// cuBLAS on that stream, in the current math_mode(), with its own fixed workspace.
cublasHandle_t cublas();

// Throws Error(device) naming the call, the file and the line.
void check(cudaError_t status, const char* call, const char* file, int line);
void check(cublasStatus_t status, const char* call, const char* file, int line);
#define CUDA_CHECK(call) ::patchcl::cuda::check((call), #call, __FILE__, __LINE__)

constexpr int kThreads = 256;  // per block, everywhere

// Names the line that asked for a kernel where a helper launches it.
using Caller = std::source_location;

// kernel<<<blocks, kThreads>>>(args...) on the stream.
template <class... P>
void launch(const Caller& at, void (*kernel)(P...), dim3 blocks, const std::type_identity_t<P>&... args) {
  cudaLaunchConfig_t config{};
  config.gridDim = blocks;
  config.blockDim = dim3(kThreads);
  config.stream = stream();
  check(cudaLaunchKernelEx(&config, kernel, args...), at.function_name(), at.file_name(), int(at.line()));
}

template <class F> __global__ void for_each_kernel(int64_t n, F f) {
  const int64_t step = int64_t(gridDim.x) * kThreads;
  for (int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x; i < n; i += step) f(i);
}

// f(i) for every i in [0, n), each on some thread.
template <class F> void for_each(int64_t n, F f, Caller at = Caller::current()) {
  if (n <= 0) return;
  const int64_t blocks = std::min<int64_t>((n + kThreads - 1) / kThreads, 16384);
  launch(at, for_each_kernel<F>, unsigned(blocks), n, f);
}

// The images of an (n,h,w,c) tensor without a division of 64-bit numbers, which costs more than the memory
// access that it is for: rows of pixels along the grid's y, the numbers of a row along its x.
template <class F> __global__ void for_each_pixel_kernel(int rows, int h, int w, int c, F f) {
  const int e = int(blockIdx.x) * kThreads + int(threadIdx.x);
  if (e >= w * c) return;
  const int column = e / c, channel = e % c;
  for (int row = int(blockIdx.y); row < rows; row += int(gridDim.y)) f(row / h, row % h, column, channel);
}

// f(image, row, column, channel) for every number of an (n,h,w,c) tensor.
template <class F> void for_each_pixel(const Shape& s, F f, Caller at = Caller::current()) {
  if (s.numel() == 0) return;
  const int64_t rows = s[0] * s[1], length = s[2] * s[3];
  if (std::max(length, rows) > INT32_MAX - 65536)
    fail(ExitCode::usage, "cuda", s, " has 2^31 rows of pixels, or a row of 2^31 numbers");
  const dim3 blocks(unsigned((length + kThreads - 1) / kThreads), unsigned(std::min<int64_t>(rows, 65535)));
  launch(at, for_each_pixel_kernel<F>, blocks, int(rows), int(s[1]), int(s[2]), int(s[3]), f);
}

// Sum over the threads of a block by a fixed tree; thread 0 gets it, the others nothing. V is a number or a
// struct with +=.
template <class V> __device__ V block_sum(V v) {
  __shared__ V s[kThreads];
  __syncthreads();  // a previous sum may still be read
  s[threadIdx.x] = v;
  for (int half = kThreads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (int(threadIdx.x) < half) s[threadIdx.x] += s[threadIdx.x + half];
  }
  return threadIdx.x == 0 ? s[0] : V{};
}

template <class Term> __global__ void partial_sums_kernel(int64_t n, double* partial, Term term) {
  const int64_t step = int64_t(gridDim.x) * kThreads;
  double sum = 0;
  for (int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x; i < n; i += step) sum += double(term(i));
  sum = block_sum(sum);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

template <class Finish> __global__ void total_kernel(int blocks, const double* partial, Finish finish) {
  const double total = block_sum(int(threadIdx.x) < blocks ? partial[threadIdx.x] : 0.);
  if (threadIdx.x == 0) finish(total);
}

// Blocks of a reduction over n elements: a function of n alone.
inline int reduce_blocks(int64_t n) { return int(std::clamp<int64_t>(n / (4 * kThreads), 1, kReduceBlocks)); }

// finish(sum of term(i) over [0, n)) on one device thread; sums in double. `workspace` holds kReduceBytes.
template <class Term, class Finish>
void reduce(int64_t n, void* workspace, Term term, Finish finish, Caller at = Caller::current()) {
  static_assert(kReduceBlocks <= kThreads);
  auto* partial = static_cast<double*>(workspace);
  const int blocks = reduce_blocks(n);
  launch(at, partial_sums_kernel<Term>, unsigned(blocks), n, partial, term);
  launch(at, total_kernel<Finish>, 1, blocks, partial, finish);
}

// A row of numbers shared by kLanes neighbouring threads of a warp (1 or 32): each takes every kLanes-th
// element, and sum and max leave the same bits in all of them.
template <int kLanes> struct Lanes {
  int lane;
  template <class T> __device__ T sum(T v) const {
    for (int o = kLanes / 2; o > 0; o /= 2) v += __shfl_xor_sync(~0u, v, o);
    return v;
  }
  template <class T> __device__ T max(T v) const {
    for (int o = kLanes / 2; o > 0; o /= 2) {
      const T other = __shfl_xor_sync(~0u, v, o);
      v = other > v ? other : v;
    }
    return v;
  }
  // f(k) for the elements k < n of this lane.
  template <class F> __device__ void each(int64_t n, F f) const {
    for (int64_t k = lane; k < n; k += kLanes) f(k);
  }
  // Sum of term(k) over all k < n, in double.
  template <class Term> __device__ double total(int64_t n, Term term) const {
    double v = 0;
    for (int64_t k = lane; k < n; k += kLanes) v += double(term(k));
    return sum(v);
  }
};

// y[0] = the sum of n numbers in their order, on one thread: for a few losses of a batch.
template <class T> void add_up(const double* v, int64_t n, T* y, Caller at = Caller::current()) {
  for_each(
      1,
      [=] __device__(int64_t) {
        double sum = 0;
        for (int64_t i = 0; i < n; ++i) sum += v[i];
        y[0] = T(sum);
      },
      at);
}

template <int kLanes, class F> __global__ void for_each_row_kernel(int64_t rows, F f) {
  constexpr int kRows = kThreads / kLanes;  // of a block; a warp's lanes leave the loop together
  const Lanes<kLanes> lanes{int(threadIdx.x) % kLanes};
  const int64_t step = int64_t(gridDim.x) * kRows;
  for (int64_t row = int64_t(blockIdx.x) * kRows + threadIdx.x / kLanes; row < rows; row += step)
    f(row, lanes);
}

// f(row, lanes) for every row of `length` numbers; f is a functor whose operator() is a template over kLanes.
template <class F> void for_each_row(int64_t rows, int64_t length, F f, Caller at = Caller::current()) {
  if (rows <= 0) return;
  const auto blocks = [&](int per_block) {
    return unsigned(std::min<int64_t>((rows + per_block - 1) / per_block, 16384));
  };
  if (length <= 32) launch(at, for_each_row_kernel<1, F>, blocks(kThreads), rows, f);
  else launch(at, for_each_row_kernel<32, F>, blocks(kThreads / 32), rows, f);
}

}  // namespace patchcl::cuda
