// What `patchcl bench` measures: the machine's ceilings, each convolution kernel as a fraction of them, and whole steps
// against PyTorch. Times are wall-clock; where other work disturbs the machine only the shortest of many is worth anything.
#pragma once
#include <omp.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tensor/simd.h"

namespace patchcl::bench {

// Shortest time of one call of fn, which runs for about `seconds` and at least three times after one to warm up.
template <class F> double shortest(double seconds, F&& fn) {
  fn();
  double best = 1e30;
  const double start = omp_get_wtime();
  for (int runs = 0; runs < 3 || omp_get_wtime() - start < seconds; ++runs) {
    const double begin = omp_get_wtime();
    fn();
    best = std::min(best, omp_get_wtime() - begin);
  }
  return best;
}

// The ceilings: fused multiply-adds in registers, and a[i] = b[i] + s c[i] over arrays that no cache holds, counted as
// three numbers per element. All threads.
struct Machine {
  std::string cpu, isa;
  int threads;
  double flops, bytes;  // per second
};
Machine measure_machine();

// One convolution of the UNet, one pass over it, one choice of kernels.
struct KernelTime {
  std::string layer;  // "32+32 -> 32, 128x128"
  std::string pass, kernels;
  int times;                       // how often the network has this layer
  double flop, bytes, seconds;     // direct-equivalent: 2 * 9 * pixels * Cin * Cout, whatever the kernel does
};
std::vector<KernelTime> measure_kernels(int64_t batch, const std::vector<std::string>& kernels, double seconds);

}  // namespace patchcl::bench

namespace patchcl {
// Runs `rounds` * 24 independent multiply-adds per lane on the calling thread; returns the floating-point operations.
FOR_EACH_ISA(double fma_rounds(int64_t rounds, float* sink); void triad(float* a, const float* b, const float* c, int64_t n);)
}  // namespace patchcl
