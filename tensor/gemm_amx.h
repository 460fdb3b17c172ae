// gemm_block_bf16() of tensor/gemm.h on the tiles of AMX (Intel, since 2023): a tile is 16 rows of 64 bytes,
// and one instruction multiplies two of them, 16 x 16 pairs by 16 pairs x 16, where AVX-512 multiplies one
// pair by 16.
#pragma once
#include "tensor/device.h"
#include "tensor/gemm.h"

namespace patchcl::amx {

// True when the processor has tiles for bf16 and the system, which is asked, lets this process use them.
bool available();

// As gemm_block_bf16() in tensor/gemm.h. A has contiguous rows or contiguous columns. Sums of even and of odd
// numbers of a pair are apart for 16 pairs or less, then added: other last bits than AVX-512's.
void gemm_block_bf16(int64_t m, int64_t n, int64_t pairs, const uint32_t* a, int64_t a_row, int64_t a_column,
    const uint32_t* b, int64_t ldb, float* c, int64_t ldc, bool accumulate);

}  // namespace patchcl::amx

namespace patchcl {
// gemm_block_bf16() for the running CPU.
inline auto* pick_gemm_block_bf16() {
  return isa() == Isa::amx ? amx::gemm_block_bf16 : ISA_PICK(gemm_block_bf16);
}
}  // namespace patchcl
