// gemm_block_bf16() of tensor/gemm.h on the tiles of AMX (tensor/amx.h).
#pragma once
#include "tensor/device.h"
#include "tensor/gemm.h"

namespace patchcl::amx {

// True when the processor has tiles for bf16 and the system, which is asked, lets this process use them.
bool available();

// As gemm_block_bf16() in tensor/gemm.h, but for the order of roundings. A has contiguous rows or contiguous
// columns.
void gemm_block_bf16(int64_t m, int64_t n, int64_t pairs, const uint32_t* a, int64_t a_row, int64_t a_column,
    const uint32_t* b, int64_t ldb, float* c, int64_t ldc, bool accumulate);

}  // namespace patchcl::amx

namespace patchcl {
// gemm_block_bf16() for the running CPU.
inline auto* pick_gemm_block_bf16() {
  return isa() == Isa::amx ? amx::gemm_block_bf16 : ISA_PICK(gemm_block_bf16);
}
}  // namespace patchcl
