#include "tensor/gemm.h"

// Eigen multiplies single tiles; threads are ours (tensor/parallel.h).
#define EIGEN_DONT_PARALLELIZE
#include <Eigen/Core>
#include <algorithm>

#include "tensor/parallel.h"

namespace patchcl {

namespace {

template <class T> using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <class T> using In = Eigen::Map<const Matrix<T>, 0, Eigen::OuterStride<>>;
template <class T> using Out = Eigen::Map<Matrix<T>, 0, Eigen::OuterStride<>>;

// Tile sides: large enough for Eigen's packing to pay, small enough that a few tiles per thread come out.
constexpr int64_t kTileM = 96, kTileN = 256;

}  // namespace

template <class T>
void gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, T alpha, const T* a, int64_t lda, const T* b, int64_t ldb,
          T beta, T* c, int64_t ldc) {
  const int64_t tiles_n = chunks(n, kTileN);
  parallel_for(chunks(m, kTileM) * tiles_n, [&](int64_t tile) {
    const int64_t i = tile / tiles_n * kTileM, j = tile % tiles_n * kTileN;
    const int64_t rows = std::min(kTileM, m - i), cols = std::min(kTileN, n - j);
    Out<T> out(c + i * ldc + j, rows, cols, Eigen::OuterStride<>(ldc));
    if (beta == T(0)) out.setZero();
    else if (beta != T(1)) out *= beta;
    const auto product = [&](const auto& left, const auto& right) { out.noalias() += alpha * (left * right); };
    const In<T> an(ta ? a + i : a + i * lda, ta ? k : rows, ta ? rows : k, Eigen::OuterStride<>(lda));
    const In<T> bn(tb ? b + j * ldb : b + j, tb ? cols : k, tb ? k : cols, Eigen::OuterStride<>(ldb));
    if (ta && tb) product(an.transpose(), bn.transpose());
    else if (ta) product(an.transpose(), bn);
    else if (tb) product(an, bn.transpose());
    else product(an, bn);
  });
}

template void gemm(bool, bool, int64_t, int64_t, int64_t, float, const float*, int64_t, const float*, int64_t, float,
                   float*, int64_t);
template void gemm(bool, bool, int64_t, int64_t, int64_t, double, const double*, int64_t, const double*, int64_t, double,
                   double*, int64_t);

}  // namespace patchcl
