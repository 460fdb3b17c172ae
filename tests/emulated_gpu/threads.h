// The threads of one block on one thread of the CPU.
#pragma once
#include "cuda_runtime.h"

namespace emulated_gpu {
void run_block(dim3 grid, dim3 block, dim3 index, const std::function<void()>& thread);
}
