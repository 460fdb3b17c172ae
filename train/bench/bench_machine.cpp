// What this machine can do at most: multiply-adds in registers, bytes from memory.
#include <fstream>

#include "tensor/arena.h"
#include "tensor/cuda.h"
#include "tensor/device.h"
#include "tensor/hd.h"
#include "tensor/parallel.h"
#include "train/bench/bench.h"

namespace patchcl::bench {

namespace {

std::string cpu_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);)
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  return "unknown CPU";
}

double measure_flops() {
  std::vector<double> flop(static_cast<size_t>(threads()));
  const double seconds = shortest(0.5, [&] {
    parallel_for(threads(), [&](int64_t t) {
      float sink[16];
      flop[size_t(t)] = ISA_PICK(fma_rounds)(20000, sink);
    });
  });
  double total = 0;
  for (double f : flop) total += f;
  return total / seconds;
}

double measure_bytes() {
  constexpr int64_t n = int64_t(32) << 20;  // 128 MiB each
  const Arena arena("bench");
  const Tensor a = arena.zeros({n}, DType::f32), b = arena.zeros({n}, DType::f32),
               c = arena.zeros({n}, DType::f32);
  const double seconds = shortest(1, [&] {
    parallel_chunks(n, [&](int64_t begin, int64_t end) {
      ISA_PICK(triad)(a.data<float>() + begin, b.data<float>() + begin, c.data<float>() + begin, end - begin);
    });
  });
  return 3. * sizeof(float) * double(n) / seconds;
}

}  // namespace

double median(std::vector<double> v) {
  std::nth_element(v.begin(), v.begin() + std::ptrdiff_t(v.size() / 2), v.end());
  return v[v.size() / 2];
}

// In bench_gpu.cu.
double gpu_flops();
double gpu_bytes();

Machine measure_gpu() {
  Machine m{cuda::device_name(), math_names()[size_t(math_mode())], 1, 0, 0};
  CUDA_ONLY(m.flops = gpu_flops(); m.bytes = gpu_bytes();)
  return m;
}

Machine measure_machine() {
  return {cpu_name(), isa_name(isa()), threads(), measure_flops(), measure_bytes()};
}

}  // namespace patchcl::bench
