// The vectorised Philox of dropout: 64 elements at a time, the bits of random_bits (tensor/random.h).
#pragma once
#include "tensor/simd.h"

namespace patchcl {

// mask[w] for w in [begin, end): which of the elements 64 w .. 64 w + 63 are kept.
FOR_EACH_ISA(void draw_dropout(uint64_t seed, uint64_t step, uint32_t site, uint32_t threshold, int64_t begin,
    int64_t end, int64_t* mask);)

}  // namespace patchcl
