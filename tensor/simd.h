// Vectors for the hot CPU kernels, written once and compiled for each instruction set.
//
// A file NAME.simd.cpp is compiled once per instruction set with PATCHCL_ISA set to plain, avx2 or avx512; it puts
// its kernels in namespace patchcl::PATCHCL_ISA, and NAME.h declares them for all three with a table that picks
// by isa() (tensor/device.h). Such a file includes nothing but this header and <cstdint>/<cstddef>: an inline
// function of a standard header, compiled here for AVX-512, could be the copy that the linker keeps for everybody.
// The types are the compiler's own 64-byte vectors: where registers are narrower it splits them.
#pragma once
#include <cstddef>
#include <cstdint>

namespace patchcl {

typedef float f32x16 __attribute__((vector_size(64)));
typedef float f32x16_u __attribute__((vector_size(64), aligned(4), may_alias));
typedef double f64x8 __attribute__((vector_size(64)));
typedef double f64x8_u __attribute__((vector_size(64), aligned(8), may_alias));

#ifdef PATCHCL_ISA
// Internal linkage on purpose: each file keeps the copy compiled for its own instruction set. No alignment is assumed.
#define SIMD_INLINE static inline __attribute__((always_inline, unused))
SIMD_INLINE f32x16 load16(const float* p) { return *reinterpret_cast<const f32x16_u*>(p); }
SIMD_INLINE void store16(float* p, f32x16 v) { *reinterpret_cast<f32x16_u*>(p) = v; }
SIMD_INLINE f32x16 splat16(float v) { return v - f32x16{}; }
#endif

}  // namespace patchcl

// Declares `declaration` in the namespaces of every instruction set that this program holds.
#if defined(__x86_64__)
#define FOR_EACH_ISA(declaration)        \
  namespace plain { declaration }        \
  namespace avx2 { declaration }         \
  namespace avx512 { declaration }
// The function of that name for the running CPU.
#define ISA_PICK(function) \
  (isa() == Isa::avx512 ? avx512::function : isa() == Isa::avx2 ? avx2::function : plain::function)
#else
#define FOR_EACH_ISA(declaration) namespace plain { declaration }
#define ISA_PICK(function) plain::function
#endif
