// What the C++ side may ask of CUDA. tensor/cuda.cu implements it; tensor/cuda_absent.cpp throws
// "built without CUDA" instead, and the Makefile links one of the two. All work is on one stream, in order.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "tensor/bfloat16.h"

namespace patchcl::cuda {

// A GPU answers; otherwise `why` says what is missing.
bool available(std::string* why);
void* alloc(size_t bytes);  // throws Error(device) with what is free and what was asked for
void free(void* p);
// Returns once `from` may be reused; a copy to the host also waits until the bytes are there.
void copy(void* to, bool to_gpu, const void* from, bool from_gpu, size_t bytes);
void fill(void* p, uint8_t byte, size_t bytes);
void set(void* p, DType dtype, int64_t n, double value);  // n numbers
void synchronize();
size_t free_memory();  // bytes that alloc() has not handed out
std::string device_name();

// Page-locked memory and a stream of its own, from which copies to the GPU run beside the kernels.
class Upload {
 public:
  explicit Upload(size_t bytes);
  ~Upload();
  Upload(const Upload&) = delete;
  // The memory to fill; waits until the last send() has left it.
  void* fill();
  // Copies the first `bytes` to device memory, once the kernels before release() are through with that; later
  // kernels wait for it.
  void send(void* to, size_t bytes);
  void release();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Seconds that the GPU takes between two points of its work, by events.
class Stopwatch {
 public:
  Stopwatch();
  ~Stopwatch();
  Stopwatch(const Stopwatch&) = delete;
  void start();
  double stop();  // waits

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Work recorded once (a CUDA graph) and replayed with one call: for steps of so many small kernels that
// launching them one by one would take longer than running them.
class Graph {
 public:
  // Runs `work` on the host and records what it launches; nothing runs on the GPU. Work may launch kernels,
  // clear and copy on the device; it may not allocate device memory, wait, or copy from or to the host.
  explicit Graph(const std::function<void()>& work);
  ~Graph();
  Graph(const Graph&) = delete;
  void launch() const;

 private:
  void* executable_ = nullptr;
};

// Matrix product as in tensor/gemm.h, by cuBLAS (gemm.cu): f32 in the current math mode, f64, and bf16
// factors with sums in f32 for a C of either type.
template <class T> void gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, T alpha, const T* a,
    int64_t lda, const T* b, int64_t ldb, T beta, T* c, int64_t ldc);
template <class C> void gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const bf16* a,
    int64_t lda, const bf16* b, int64_t ldb, float beta, C* c, int64_t ldc);

// Workspace of a reduction to one number (cuda_runtime.cuh): a partial sum for each of at most this many
// blocks.
constexpr int kReduceBlocks = 256;
constexpr size_t kReduceBytes = kReduceBlocks * sizeof(double);

}  // namespace patchcl::cuda
