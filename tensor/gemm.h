// Dense matrix product, row-major, on the CPU:   C = alpha * op(A) op(B) + beta * C
//
// op(A) is (m,k): A itself when !ta, its transpose when ta; op(B) is (k,n) likewise; C is (m,n). lda, ldb,
// ldc are the distances between rows as stored, so a window of a larger matrix will do. beta = 0 overwrites
// C, whatever it holds. C is cut into fixed tiles that run in parallel, each computed by one thread: equal
// bits for any number of threads. Naive kernels go through Eigen, others through gemm_block(), which the
// convolutions share.
#pragma once
#include "tensor/simd.h"

namespace patchcl {

template <class T> void gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, T alpha, const T* a,
    int64_t lda, const T* b, int64_t ldb, T beta, T* c, int64_t ldc);

// One thread's product of blocks that lie in a near cache:  C(i,j) = [C(i,j)] + sum_k A(i,k) B(k,j), k in
// order. A(i,k) is a[i * a_row + k * a_column], so that A may be a transpose; rows of B and C are contiguous,
// n is a multiple of 16. Reads and writes nothing outside the m x k, k x n and m x n elements.
FOR_EACH_ISA(void gemm_block(int64_t m, int64_t n, int64_t k, const float* a, int64_t a_row, int64_t a_column,
    const float* b, int64_t ldb, float* c, int64_t ldc, bool accumulate);
             void gemm_block_f64(int64_t m, int64_t n, int64_t k, const double* a, int64_t a_row,
                 int64_t a_column, const double* b, int64_t ldb, double* c, int64_t ldc, bool accumulate);)

// b(j,i) = a(i,j) for rows x columns elements of a: a panel of B that was stored as a transpose.
FOR_EACH_ISA(
    void transpose_block(int64_t rows, int64_t columns, const float* a, int64_t lda, float* b, int64_t ldb);)

// gemm_block with bf16 factors and f32 sums. A and B hold pairs of neighbours along k, the even one in the
// lower half: C(i,j) = [C(i,j)] + sum_p A(i,p)_even B(p,j)_even + A(i,p)_odd B(p,j)_odd. avx512bf16:
// by the processor's own instruction, which treats numbers below 1e-38 as 0; else the pairs are widened, the
// same but for the order of roundings.
FOR_EACH_ISA(void gemm_block_bf16(int64_t m, int64_t n, int64_t pairs, const uint32_t* a, int64_t a_row,
    int64_t a_column, const uint32_t* b, int64_t ldb, float* c, int64_t ldc, bool accumulate);)

}  // namespace patchcl
