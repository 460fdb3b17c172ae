#include "autograd/ops/dropout_kernels.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace patchcl::PATCHCL_ISA {
namespace {

typedef uint64_t U64x8 __attribute__((vector_size(64)));
typedef uint64_t U64x4 __attribute__((vector_size(32)));
constexpr uint64_t kLow = 0xFFFFFFFFu;

// Full products of the low halves. The compiler does not find this instruction by itself: it multiplies 64 x
// 64 bits.
SIMD_INLINE U64x8 multiply_low(U64x8 a, uint32_t b) {
#if defined(__AVX512F__)
  return U64x8(_mm512_maskz_mul_epu32(__mmask8(-1), __m512i(a), _mm512_set1_epi64(b)));
#elif defined(__AVX2__)
  const __m256i k = _mm256_set1_epi64x(b);
  const U64x4 lo = U64x4(_mm256_mul_epu32(__m256i(__builtin_shufflevector(a, a, 0, 1, 2, 3)), k));
  const U64x4 hi = U64x4(_mm256_mul_epu32(__m256i(__builtin_shufflevector(a, a, 4, 5, 6, 7)), k));
  return __builtin_shufflevector(lo, hi, 0, 1, 2, 3, 4, 5, 6, 7);
#else
  return (a & kLow) * b;
#endif
}

SIMD_INLINE uint64_t any(U64x8 v) {
  const U64x4 half = __builtin_shufflevector(v, v, 0, 1, 2, 3) | __builtin_shufflevector(v, v, 4, 5, 6, 7);
  return (half[0] | half[1]) | (half[2] | half[3]);
}

}  // namespace

// philox() of tensor/random.h on eight counters at a time, one in the low half of each lane; upper halves
// hold rubbish.
void draw_dropout(uint64_t seed, uint64_t step, uint32_t site, uint32_t threshold, int64_t begin, int64_t end,
    int64_t* mask) {
  constexpr U64x8 lane{0, 1, 2, 3, 4, 5, 6, 7};
  for (int64_t w = begin; w < end; ++w) {
    U64x8 c0[2], c1[2], c2[2], c3[2];
    for (int half = 0; half < 2; ++half) {
      const U64x8 quad = uint64_t(w * 16 + half * 8) + lane;  // element / 4
      c0[half] = quad;
      c1[half] = (quad >> 32) ^ uint64_t(site << 8);
      c2[half] = (step & kLow) + U64x8{};
      c3[half] = (step >> 32) + U64x8{};
    }
    uint32_t k0 = uint32_t(seed), k1 = uint32_t(seed >> 32);
    for (int round = 0; round < 10; ++round, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u)
#pragma GCC unroll 2
      for (int half = 0; half < 2; ++half) {
        const U64x8 a = multiply_low(c0[half], 0xD2511F53u), b = multiply_low(c2[half], 0xCD9E8D57u);
        c0[half] = (b >> 32) ^ c1[half] ^ uint64_t(k0);
        c2[half] = (a >> 32) ^ c3[half] ^ uint64_t(k1);
        c1[half] = b;
        c3[half] = a;
      }
    uint64_t kept = 0;
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      const auto passes = [&](U64x8 bits, uint64_t flag) {
        return U64x8((bits & kLow) >= uint64_t(threshold)) & flag;
      };
      const U64x8 four =
          passes(c0[half], 1) | passes(c1[half], 2) | passes(c2[half], 4) | passes(c3[half], 8);
      kept |= any(four << (lane * 4)) << (half * 32);
    }
    mask[w] = int64_t(kept);
  }
}

}  // namespace patchcl::PATCHCL_ISA
