// What the C++ side may ask of CUDA. tensor/cuda.cu implements it; tensor/cuda_absent.cpp throws
// "built without CUDA" instead, and the Makefile links one of the two. All work is on one stream, in order.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

namespace patchcl::cuda {

// A GPU answers; otherwise `why` says what is missing.
bool available(std::string* why);
void* alloc(size_t bytes);  // throws Error(device) with what is free and what was asked for
void free(void* p);
// Returns once `from` may be reused; a copy to the host also waits until the bytes are there.
void copy(void* to, bool to_gpu, const void* from, bool from_gpu, size_t bytes);
void zero(void* p, size_t bytes);
void synchronize();

// Matrix product as in tensor/gemm.h, by cuBLAS in strict f32 or f64 (gemm.cu).
template <class T>
void gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, T alpha, const T* a, int64_t lda, const T* b, int64_t ldb,
          T beta, T* c, int64_t ldc);

// Workspace of a reduction to one number (cuda_runtime.cuh): a partial sum for each of at most this many blocks.
constexpr int kReduceBlocks = 256;
constexpr size_t kReduceBytes = kReduceBlocks * sizeof(double);

}  // namespace patchcl::cuda
