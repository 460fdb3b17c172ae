// The two loops of bench_machine.cpp, for each instruction set.
#include "tensor/simd.h"

namespace patchcl::PATCHCL_ISA {

double fma_rounds(int64_t rounds, float* sink) {
  constexpr int sums = kLanes == 16 ? 24 : 12;  // enough to hide the latency, few enough for the registers
  Vec sum[sums];
#pragma GCC unroll 24
  for (int i = 0; i < sums; ++i) sum[i] = splat(0.01f * float(i));
  const Vec a = splat(0.999f), b = splat(0.001f);
  for (int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 24
    for (int i = 0; i < sums; ++i) sum[i] = sum[i] * a + b;
    asm volatile("");  // keeps the loop a loop
  }
  Vec total = sum[0];
#pragma GCC unroll 24
  for (int i = 1; i < sums; ++i) total += sum[i];
  store(sink, total);
  return 2. * sums * kLanes * double(rounds);
}

void triad(float* a, const float* b, const float* c, int64_t n) {
  for (int64_t i = 0; i < n; ++i) a[i] = b[i] + 3 * c[i];
}

}  // namespace patchcl::PATCHCL_ISA
