#include "tensor/cuda_runtime.cuh"

namespace patchcl::cuda {

namespace {
cublasStatus_t call(cublasOperation_t oa, cublasOperation_t ob, int m, int n, int k, const float* alpha,
    const float* a, int lda, const float* b, int ldb, const float* beta, float* c, int ldc) {
  return cublasSgemm(cublas(), oa, ob, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
cublasStatus_t call(cublasOperation_t oa, cublasOperation_t ob, int m, int n, int k, const double* alpha,
    const double* a, int lda, const double* b, int ldb, const double* beta, double* c, int ldc) {
  return cublasDgemm(cublas(), oa, ob, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
}  // namespace

// cuBLAS counts columns first, so our row-major matrices are their transposes there, and C^T = op(B)^T
// op(A)^T is the product with the factors swapped.
template <class T> void gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, T alpha, const T* a,
    int64_t lda, const T* b, int64_t ldb, T beta, T* c, int64_t ldc) {
  if (m == 0 || n == 0) return;
  CUDA_CHECK(call(tb ? CUBLAS_OP_T : CUBLAS_OP_N, ta ? CUBLAS_OP_T : CUBLAS_OP_N, int(n), int(m), int(k),
      &alpha, b, int(ldb), a, int(lda), &beta, c, int(ldc)));
}

template void gemm(bool, bool, int64_t, int64_t, int64_t, float, const float*, int64_t, const float*, int64_t,
    float, float*, int64_t);
template void gemm(bool, bool, int64_t, int64_t, int64_t, double, const double*, int64_t, const double*,
    int64_t, double, double*, int64_t);

namespace {
constexpr cudaDataType_t type_of(const float*) { return CUDA_R_32F; }
constexpr cudaDataType_t type_of(const bf16*) { return CUDA_R_16BF; }
}  // namespace

template <class C> void gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const bf16* a,
    int64_t lda, const bf16* b, int64_t ldb, float beta, C* c, int64_t ldc) {
  if (m == 0 || n == 0) return;
  CUDA_CHECK(cublasGemmEx(cublas(), tb ? CUBLAS_OP_T : CUBLAS_OP_N, ta ? CUBLAS_OP_T : CUBLAS_OP_N, int(n),
      int(m), int(k), &alpha, b, CUDA_R_16BF, int(ldb), a, CUDA_R_16BF, int(lda), &beta, c, type_of(c),
      int(ldc), CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT));
}

template void gemm(bool, bool, int64_t, int64_t, int64_t, float, const bf16*, int64_t, const bf16*, int64_t,
    float, float*, int64_t);
template void gemm(bool, bool, int64_t, int64_t, int64_t, float, const bf16*, int64_t, const bf16*, int64_t,
    float, bf16*, int64_t);

}  // namespace patchcl::cuda
