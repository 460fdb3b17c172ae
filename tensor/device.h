// Device and kernel choice: process-wide settings and the few raw memory calls that know about devices.
#pragma once
#include <cstddef>
#include <string>
#include <vector>

#include "tensor/shape.h"

namespace patchcl {

// Which CPU kernels run. naive: the plain loops that define the result, kept as the oracle. direct: fast
// kernels that compute the same sums. fast: the same, plus Winograd convolutions where they win (other
// rounding).
enum class Kernels { naive, direct, fast };
Kernels kernels();
void set_kernels(Kernels k);
const std::vector<std::string>& kernel_names();  // in the order of the values
Kernels parse_kernels(const std::string& name);  // throws Error(usage)

// How matrices and convolutions are multiplied. f32: every product in full. tf32: the GPU's tensor cores,
// whose factors keep 10 bits of the mantissa. bf16: the network's maps are kept in bf16 (tensor/bf16.h), and
// so are the factors of its convolutions; parameters, statistics and losses are f32. int8: as bf16, but the
// factors of 3x3 convolutions have 8 bits (autograd/ops/conv2d_int8.h); for inference on the CPU. All are
// faster and coarser, so only when asked for.
enum class MathMode { f32, tf32, bf16, int8 };
MathMode math_mode();
void set_math_mode(MathMode m);
const std::vector<std::string>& math_names();
MathMode parse_math(const std::string& name);

// Instruction sets that the SIMD kernels (files *.simd.cpp) are compiled for; chosen once from the running
// CPU. PATCHCL_ISA=plain|avx2|avx512|avx512bf16 in the environment lowers the choice, for tests. avx512bf16:
// AVX-512 with products of bf16 and of bytes; amx: the same with matrix products of bf16 on tiles
// (tensor/gemm_amx.h). In f32 both compute what avx512 does.
enum class Isa { plain, avx2, avx512, avx512bf16, amx };
constexpr Isa kIsas[] = {Isa::plain, Isa::avx2, Isa::avx512, Isa::avx512bf16, Isa::amx};
Isa isa();
void set_isa(Isa i);  // for tests; throws Error(usage) when the CPU lacks it
const char* isa_name(Isa i);
// What rounds the CPU's numbers: the instruction set, and its products of bf16 where --math asks for them.
std::string instructions();
// The function of isa(), of those for all sets (ISA_PICK in tensor/simd.h).
template <class F> F* for_isa(F* plain, F* avx2, F* avx512, F* avx512bf16) {
  F* const all[] = {plain, avx2, avx512, avx512bf16, avx512bf16};
  return all[int(isa())];
}

// True when this program was built with CUDA and a GPU answers. Otherwise `why` says what is missing.
bool cuda_available(std::string* why = nullptr);

size_t free_memory(Device d);                // bytes; of the CPU all that the machine has
void* device_alloc(Device d, size_t bytes);  // throws Error(device) naming the size; huge pages on the CPU
void device_free(Device d, void* p, size_t bytes);
void copy_bytes(void* to, Device to_device, const void* from, Device from_device, size_t bytes);
void fill_bytes(void* p, Device d, uint8_t byte, size_t bytes);

}  // namespace patchcl
