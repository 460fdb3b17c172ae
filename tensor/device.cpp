#include "tensor/device.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "tensor/cuda.h"
#include "tensor/gemm_amx.h"

namespace patchcl {

namespace {
Kernels g_kernels = Kernels::fast;
MathMode g_math_mode = MathMode::f32;

template <class Choice> Choice parse(const std::vector<std::string>& names, const std::string& name) {
  const auto at = std::find(names.begin(), names.end(), name);
  if (at == names.end())
    fail(ExitCode::usage, "device", "no '", name, "' here; it is '", names.front(), "' or another up to '",
        names.back(), "'");
  return Choice(at - names.begin());
}

Isa best_isa() {
  Isa best = Isa::plain;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) best = Isa::avx2;
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
    best = Isa::avx512;
  if (best == Isa::avx512 && __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni"))
    best = Isa::avx512bf16;
  if (best == Isa::avx512bf16 && amx::available()) best = Isa::amx;
#endif
  return best;
}

Isa wished_isa() {
  const Isa best = best_isa();
  if (const char* wish = std::getenv("PATCHCL_ISA"))
    for (Isa i : kIsas)
      if (std::strcmp(wish, isa_name(i)) == 0 && i < best) return i;
  return best;
}

Isa& chosen_isa() {
  static Isa chosen = wished_isa();
  return chosen;
}
}  // namespace

Kernels kernels() { return g_kernels; }
void set_kernels(Kernels k) { g_kernels = k; }
const std::vector<std::string>& kernel_names() {
  static const std::vector<std::string> names{"naive", "direct", "fast"};
  return names;
}
Kernels parse_kernels(const std::string& name) { return parse<Kernels>(kernel_names(), name); }

MathMode math_mode() { return g_math_mode; }
void set_math_mode(MathMode m) { g_math_mode = m; }
const std::vector<std::string>& math_names() {
  static const std::vector<std::string> names{"f32", "tf32", "bf16", "int8"};
  return names;
}
MathMode parse_math(const std::string& name) { return parse<MathMode>(math_names(), name); }

Isa isa() { return chosen_isa(); }
void set_isa(Isa i) {
  if (i > best_isa()) fail(ExitCode::usage, "isa", "this CPU has no ", isa_name(i));
  chosen_isa() = i;
}

const char* isa_name(Isa i) {
  static const char* const names[] = {"plain", "avx2", "avx512", "avx512bf16", "amx"};
  return names[int(i)];
}

std::string instructions() {
  if (isa() < Isa::avx512bf16) return isa_name(isa());
  const bool bf16 = math_mode() == MathMode::bf16;
  return isa_name(Isa::avx512) + std::string(bf16 && isa() == Isa::amx ? "+amx" : "") + (bf16 ? "+bf16" : "");
}

bool cuda_available(std::string* why) { return cuda::available(why); }

size_t free_memory(Device d) {
  return d == Device::cuda ? cuda::free_memory()
                           : size_t(sysconf(_SC_PHYS_PAGES)) * size_t(sysconf(_SC_PAGE_SIZE));
}

void* device_alloc(Device d, size_t bytes) {
  if (d == Device::cuda) return cuda::alloc(bytes);
  void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED)
    fail(ExitCode::device, "memory", "the system refused ", bytes >> 20, " MiB; lower --batch or --size");
  // 2 MiB pages: fewer page faults and TLB misses, measured 2-3x at batch 24 (README, "speed").
  madvise(p, bytes, MADV_HUGEPAGE);
  return p;
}

void device_free(Device d, void* p, size_t bytes) {
  if (d == Device::cuda) cuda::free(p);
  else munmap(p, bytes);
}

void copy_bytes(void* to, Device to_device, const void* from, Device from_device, size_t bytes) {
  if (to_device == Device::cpu && from_device == Device::cpu) std::memcpy(to, from, bytes);
  else cuda::copy(to, to_device == Device::cuda, from, from_device == Device::cuda, bytes);
}

void fill_bytes(void* p, Device d, uint8_t byte, size_t bytes) {
  if (d == Device::cuda) cuda::fill(p, byte, bytes);
  else std::memset(p, byte, bytes);
}

}  // namespace patchcl
