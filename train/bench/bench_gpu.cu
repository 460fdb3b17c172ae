// The GPU's ceilings, measured: a large matrix product by cuBLAS, and a triad over arrays larger than its
// caches.
#include "tensor/arena.h"
#include "tensor/cuda_runtime.cuh"
#include "tensor/device.h"
#include "tensor/random.h"
#include "train/bench/bench.h"

namespace patchcl::bench {

namespace {
// In [-1,1): a product of zeros draws less power, and clocks above what real numbers get.
template <class T> void fill_with_noise(const Tensor& t) {
  T* p = t.data<T>();
  cuda::for_each(t.numel(), [=] __device__(int64_t i) {
    p[i] = T(float(to_unit(random_bits(/*seed=*/1, 0, 0, uint64_t(i)))) * 2 - 1);
  });
}

template <class T> double flops_of() {
  constexpr int64_t n = 8192;
  const Arena arena("bench", Device::cuda);
  const DType type = DTypeOf<T>::value;
  const Tensor a = arena.zeros({n, n}, type), b = arena.zeros({n, n}, type), c = arena.zeros({n, n}, type);
  fill_with_noise<T>(a);
  fill_with_noise<T>(b);
  const double seconds = shortest(1, [&] {
    cuda::gemm(false, false, n, n, n, 1.f, a.data<T>(), n, b.data<T>(), n, 0.f, c.data<T>(), n);
    cuda::synchronize();
  });
  return 2. * n * n * n / seconds;
}
}  // namespace

double gpu_flops() { return math_mode() == MathMode::bf16 ? flops_of<bf16>() : flops_of<float>(); }

double gpu_bytes() {
  constexpr int64_t n = int64_t(128) << 20;
  const Arena arena("bench", Device::cuda);
  const Tensor a = arena.zeros({n}, DType::f32), b = arena.zeros({n}, DType::f32),
               c = arena.zeros({n}, DType::f32);
  float *pa = a.data<float>(), *pb = b.data<float>(), *pc = c.data<float>();
  const double seconds = shortest(1, [&] {
    cuda::for_each(n, [=] __device__(int64_t i) { pa[i] = pb[i] + 3 * pc[i]; });
    cuda::synchronize();
  });
  return 3. * sizeof(float) * double(n) / seconds;
}

}  // namespace patchcl::bench
