// Dense matrix product, row-major, on the CPU:   C = alpha * op(A) op(B) + beta * C
//
// op(A) is (m,k): A itself when !ta, its transpose when ta; op(B) is (k,n) likewise; C is (m,n). lda, ldb, ldc are the
// distances between rows as stored, so a window of a larger matrix will do. beta = 0 overwrites C, whatever it holds.
// C is cut into fixed tiles that run in parallel, each computed by one thread: equal bits for any number of threads.
#pragma once
#include <cstdint>

namespace patchcl {

template <class T>
void gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, T alpha, const T* a, int64_t lda, const T* b, int64_t ldb,
          T beta, T* c, int64_t ldc);

}  // namespace patchcl
