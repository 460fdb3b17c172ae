// Vectors for the hot CPU kernels, written once and compiled for each instruction set.
//
// A file NAME.simd.cpp is compiled once per instruction set with PATCHCL_ISA set to plain, avx2, avx512 or
// avx512bf16; it puts its kernels in namespace patchcl::PATCHCL_ISA, and NAME.h declares them for all four
// with a table that picks by isa() (tensor/device.h). Such a file includes nothing but this header and
// <cstdint>/<cstddef>: an inline function of a standard header, compiled here for AVX-512, could be the copy
// that the linker keeps for everybody. The types are the compiler's own vectors: 64-byte ones, which it
// splits where registers are narrower (fine for a few values at a time), and Vec, one register of the
// instruction set, for kernels that fill the register file.
#pragma once
#include <cstddef>
#include <cstdint>

#include "tensor/bf16.h"

namespace patchcl {

typedef float f32x16 __attribute__((vector_size(64)));
typedef float f32x16_u __attribute__((vector_size(64), aligned(4), may_alias));
typedef double f64x8 __attribute__((vector_size(64)));
typedef double f64x8_u __attribute__((vector_size(64), aligned(8), may_alias));

#ifdef PATCHCL_ISA
namespace PATCHCL_ISA {
#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif
typedef float Vec __attribute__((vector_size(kLanes * 4)));
typedef float VecUnaligned __attribute__((vector_size(kLanes * 4), aligned(4), may_alias));
typedef double Vec64 __attribute__((vector_size(kLanes * 4)));  // half as many lanes
typedef uint32_t Bits __attribute__((vector_size(kLanes * 4)));
typedef uint32_t BitsUnaligned __attribute__((vector_size(kLanes * 4), aligned(4), may_alias));
typedef double Vec64Unaligned __attribute__((vector_size(kLanes * 4), aligned(8), may_alias));

// Internal linkage on purpose: each file keeps the copy compiled for its own instruction set.
#define SIMD_INLINE static inline __attribute__((always_inline, unused))
#define SIMD_MEMBER __attribute__((always_inline))
SIMD_INLINE Vec load(const float* p) { return *reinterpret_cast<const VecUnaligned*>(p); }
SIMD_INLINE void store(float* p, Vec v) { *reinterpret_cast<VecUnaligned*>(p) = v; }
SIMD_INLINE Vec splat(float v) { return v - Vec{}; }
SIMD_INLINE Bits load(const uint32_t* p) { return *reinterpret_cast<const BitsUnaligned*>(p); }
SIMD_INLINE void store(uint32_t* p, Bits v) { *reinterpret_cast<BitsUnaligned*>(p) = v; }

// Maps in bf16: read as the f32 that they stand for, rounded to nearest, ties to even, when they are stored.
// A NaN stays one. The processor's own instruction takes numbers below 1e-38 for 0.
typedef uint16_t Halves __attribute__((vector_size(kLanes * 2)));
typedef uint16_t HalvesUnaligned __attribute__((vector_size(kLanes * 2), aligned(2), may_alias));
SIMD_INLINE Halves narrowed(Vec v) {
#if defined(__AVX512BF16__)
  Halves h;
  asm("vcvtneps2bf16 %1, %0" : "=v"(h) : "v"(v));
  return h;
#else
  const Bits u = (Bits)v;
  return __builtin_convertvector(v == v ? (u + 0x7fff + (u >> 16 & 1)) >> 16 : u >> 16 | 0x40, Halves);
#endif
}
SIMD_INLINE Vec load(const bf16* p) {
  return (Vec)(__builtin_convertvector(*reinterpret_cast<const HalvesUnaligned*>(p), Bits) << 16);
}
SIMD_INLINE void store(bf16* p, Vec v) { *reinterpret_cast<HalvesUnaligned*>(p) = narrowed(v); }

SIMD_INLINE Vec64 load(const double* p) { return *reinterpret_cast<const Vec64Unaligned*>(p); }
SIMD_INLINE void store(double* p, Vec64 v) { *reinterpret_cast<Vec64Unaligned*>(p) = v; }
SIMD_INLINE Vec64 splat(double v) { return v - Vec64{}; }

// at, at + step, ... at + 7 step in loops that are unrolled, from five registers: the processor adds a
// register times 1, 2, 4 or 8 to an address for nothing. Left alone, the compiler keeps eight addresses and
// runs out of registers for them; an empty asm makes it forget where a value came from.
template <class T> class Strided {
 public:
  SIMD_MEMBER Strided(T* at, int64_t step)
      : at_(at), step_(step * int64_t(sizeof(T))), three_(3 * step_), five_(5 * step_), seven_(7 * step_) {
    asm("" : "+r"(step_), "+r"(three_), "+r"(five_), "+r"(seven_));
  }
  SIMD_MEMBER T* operator[](int i) const {
    const int64_t offset[] = {0, step_, 2 * step_, three_, 4 * step_, five_, 2 * three_, seven_};
    return reinterpret_cast<T*>(reinterpret_cast<uintptr_t>(at_) + uintptr_t(offset[i]));
  }
  SIMD_MEMBER void move(int64_t elements) {
    at_ += elements;
    asm("" : "+r"(at_));
  }

 private:
  T* at_;
  int64_t step_, three_, five_, seven_;
};

// Exchanges between two registers: with Half = 2, (a0 a1 a2 a3), (b0 b1 b2 b3) -> low (a0 a1 b0 b1), high (a2
// a3 b2 b3). Lane L of low is a[L] where bit Half of L is clear, else b[L - Half]; of high a[L + Half], else
// b[L].
template <int... L> struct LaneList {};
template <int N, int... L> struct FirstLanes : FirstLanes<N - 1, N - 1, L...> {};
template <int... L> struct FirstLanes<0, L...> { using type = LaneList<L...>; };
using AllLanes = FirstLanes<kLanes>::type;
template <int Half, int... L> SIMD_INLINE Vec low_halves(Vec a, Vec b, LaneList<L...>) {
  return __builtin_shufflevector(a, b, (L & Half ? kLanes + L - Half : L)...);
}
template <int Half, int... L> SIMD_INLINE Vec high_halves(Vec a, Vec b, LaneList<L...>) {
  return __builtin_shufflevector(a, b, (L & Half ? kLanes + L : L + Half)...);
}

// Lane L of the result is the sum over all lanes of v[L]; overwrites v.
template <int Half = kLanes / 2> SIMD_INLINE Vec sum_each(Vec* v) {
#pragma GCC unroll 8
  for (int i = 0; i < Half; ++i)
    v[i] = low_halves<Half>(v[i], v[i + Half], AllLanes()) + high_halves<Half>(v[i], v[i + Half], AllLanes());
  if constexpr (Half > 1) return sum_each<Half / 2>(v);
  else return v[0];
}

// v[i][j] <-> v[j][i].
template <int Half = kLanes / 2> SIMD_INLINE void transpose(Vec* v) {
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i)
    if (!(i & Half)) {
      const Vec low = low_halves<Half>(v[i], v[i + Half], AllLanes());
      v[i + Half] = high_halves<Half>(v[i], v[i + Half], AllLanes());
      v[i] = low;
    }
  if constexpr (Half > 1) transpose<Half / 2>(v);
}
}  // namespace PATCHCL_ISA
#endif

}  // namespace patchcl

// Declares `declaration` in the namespaces of every instruction set that this program holds.
#if defined(__x86_64__)
#define FOR_EACH_ISA(declaration) \
  namespace plain {               \
  declaration                     \
  }                               \
  namespace avx2 {                \
  declaration                     \
  }                               \
  namespace avx512 {              \
  declaration                     \
  }                               \
  namespace avx512bf16 {          \
  declaration                     \
  }
// The function of that name for the running CPU.
#define ISA_PICK(function) for_isa(plain::function, avx2::function, avx512::function, avx512bf16::function)
#else
#define FOR_EACH_ISA(declaration) \
  namespace plain {               \
  declaration                     \
  }
#define ISA_PICK(function) plain::function
#endif
