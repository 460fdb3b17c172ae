// gemm against three nested loops: all transpositions, sizes that are no multiple of anything, every
// instruction set.
#include "tensor/gemm_amx.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "tensor/bfloat16.h"
#include "tensor/device.h"
#include "tensor/parallel.h"
#include "tensor/random.h"

using namespace patchcl;

namespace {

template <class T> double worst_error(bool ta, bool tb, int64_t m, int64_t n, int64_t k, double beta) {
  Rng rng(5, uint64_t(m * 10000 + n * 100 + k));
  const int64_t lda = (ta ? m : k) + 3, ldb = (tb ? k : n) + 1, ldc = n + 2;
  std::vector<T> a(size_t((ta ? k : m) * lda)), b(size_t((tb ? n : k) * ldb)), c(size_t(m * ldc)), y;
  for (auto* v : {&a, &b, &c})
    for (T& e : *v) e = T(rng.normal());
  y = c;
  if (beta == 0) std::fill(y.begin(), y.end(), std::numeric_limits<T>::quiet_NaN());
  gemm<T>(ta, tb, m, n, k, T(1.5), a.data(), lda, b.data(), ldb, T(beta), y.data(), ldc);
  double worst = 0, largest = 1e-30;
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) {
      double sum = 0;
      for (int64_t q = 0; q < k; ++q)
        sum += double(a[size_t(ta ? q * lda + i : i * lda + q)]) *
               double(b[size_t(tb ? j * ldb + q : q * ldb + j)]);
      const double want = 1.5 * sum + (beta == 0 ? 0 : beta * double(c[size_t(i * ldc + j)]));
      const double error = std::fabs(double(y[size_t(i * ldc + j)]) - want);
      if (!std::isfinite(error)) return error;
      worst = std::max(worst, error);
      largest = std::max(largest, std::fabs(want));
    }
  return worst / largest;
}

}  // namespace

TEST(Gemm, EqualsThreeLoopsForEveryShapeTransposeAndIsa) {
  const Isa best = isa();
  for (Isa i : kIsas) {
    if (i > best) continue;
    set_isa(i);
    for (bool ta : {false, true})
      for (bool tb : {false, true})
        for (auto [m, n, k] :
            {std::array<int64_t, 3>{1, 1, 1}, {7, 5, 3}, {97, 65, 257}, {13, 130, 600}, {200, 17, 31}})
          for (double beta : {0., 1., -0.5}) {
            EXPECT_LE(worst_error<float>(ta, tb, m, n, k, beta), 2e-6)
                << isa_name(i) << " " << m << " " << n << " " << k;
            EXPECT_LE(worst_error<double>(ta, tb, m, n, k, beta), 1e-13) << m << " " << n << " " << k;
          }
  }
  set_isa(best);
}

// Factors that bf16 holds exactly: then the sums are those of f32.
TEST(Gemm, Bf16BlocksAreThoseOfTheirNumbersForEveryIsa) {
  const Isa best = isa();
  Rng rng(3);
  for (const auto [m, n, pairs] :
      {std::array<int64_t, 3>{1, 16, 1}, {7, 48, 5}, {17, 112, 33}, {36, 16, 8}, {77, 64, 150}}) {
    const auto draw = [&](int64_t count) {
      std::vector<bf16> x(static_cast<size_t>(count));
      for (bf16& e : x) e = bf16(float(rng.normal()));
      return x;
    };
    const int64_t k = 2 * pairs;
    const std::vector<bf16> a = draw(m * k), b = draw(k * n);  // b: (pairs, n, 2)
    std::vector<double> want(size_t(m * n), 0.5);
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < n; ++j)
        for (int64_t q = 0; q < k; ++q)
          want[size_t(i * n + j)] +=
              double(a[size_t(i * k + q)]) * double(b[size_t(((q / 2) * n + j) * 2 + q % 2)]);
    const auto* left = reinterpret_cast<const uint32_t*>(a.data());
    const auto* right = reinterpret_cast<const uint32_t*>(b.data());
    std::vector<uint32_t> turned(size_t(m * pairs));
    for (int64_t i = 0; i < m; ++i)
      for (int64_t p = 0; p < pairs; ++p) turned[size_t(p * m + i)] = left[i * pairs + p];
    for (Isa i : kIsas) {
      if (i > best) continue;
      set_isa(i);
      std::vector<float> c(size_t(m * n), 0.5f), of_turned = c, zero = c;
      pick_gemm_block_bf16()(m, n, pairs, left, pairs, 1, right, n, c.data(), n, true);
      pick_gemm_block_bf16()(m, n, pairs, turned.data(), 1, m, right, n, of_turned.data(), n, true);
      pick_gemm_block_bf16()(m, n, pairs, left, pairs, 1, right, n, zero.data(), n, false);
      for (size_t e = 0; e < c.size(); ++e) {
        const double limit = 2e-6 * std::sqrt(double(k)) * 4;
        ASSERT_NEAR(double(c[e]), want[e], limit) << isa_name(i);
        ASSERT_NEAR(double(of_turned[e]), want[e], limit) << isa_name(i);
        ASSERT_NEAR(double(zero[e]), want[e] - 0.5, limit) << isa_name(i);
      }
    }
    set_isa(best);
  }
}

// Tiles of AMX have a shape that a forked process does not inherit.
TEST(Gemm, AForkedProcessMultipliesToo) {
  const std::vector<uint32_t> a(36 * 8, 0x3F803F80), b(8 * 16, 0x3F803F80);  // ones
  std::vector<float> c(36 * 16);
  const auto multiply = [&] {
    pick_gemm_block_bf16()(36, 16, 8, a.data(), 8, 1, b.data(), 16, c.data(), 16, false);
    return c[0] == 16 && c.back() == 16;
  };
  ASSERT_TRUE(multiply());
  const pid_t child = fork();
  if (child == 0) _exit(multiply() ? 0 : 1);
  int status = 1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST(Gemm, IsBitEqualForAnyThreadCount) {
  Rng rng(1);
  std::vector<float> a(300 * 70), b(70 * 130), one(300 * 130), many(300 * 130);
  for (float& e : a) e = float(rng.normal());
  for (float& e : b) e = float(rng.normal());
  const int before = threads();
  set_threads(1);
  gemm<float>(false, false, 300, 130, 70, 1, a.data(), 70, b.data(), 130, 0, one.data(), 130);
  set_threads(3);
  gemm<float>(false, false, 300, 130, 70, 1, a.data(), 70, b.data(), 130, 0, many.data(), 130);
  set_threads(before);
  EXPECT_EQ(one, many);
}
