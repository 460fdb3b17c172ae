// The GPU's ceilings, measured: a large matrix product by cuBLAS, and a triad over arrays larger than its caches.
#include "tensor/arena.h"
#include "tensor/cuda_runtime.cuh"
#include "train/bench.h"

namespace patchcl::bench {

double gpu_flops() {
  constexpr int64_t n = 8192;
  const Arena arena("bench", Device::cuda);
  const Tensor a = arena.zeros({n, n}, DType::f32), b = arena.zeros({n, n}, DType::f32), c = arena.zeros({n, n}, DType::f32);
  const double seconds = shortest(1, [&] {
    cuda::gemm<float>(false, false, n, n, n, 1, a.data<float>(), n, b.data<float>(), n, 0, c.data<float>(), n);
    cuda::synchronize();
  });
  return 2. * n * n * n / seconds;
}

double gpu_bytes() {
  constexpr int64_t n = int64_t(128) << 20;
  const Arena arena("bench", Device::cuda);
  const Tensor a = arena.zeros({n}, DType::f32), b = arena.zeros({n}, DType::f32), c = arena.zeros({n}, DType::f32);
  float *pa = a.data<float>(), *pb = b.data<float>(), *pc = c.data<float>();
  const double seconds = shortest(1, [&] {
    cuda::for_each(n, [=] __device__(int64_t i) { pa[i] = pb[i] + 3 * pc[i]; });
    cuda::synchronize();
  });
  return 3. * sizeof(float) * double(n) / seconds;
}

}  // namespace patchcl::bench
