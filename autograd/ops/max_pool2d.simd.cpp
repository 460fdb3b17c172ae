#include "autograd/ops/max_pool2d_kernels.h"

namespace patchcl::PATCHCL_ISA {
namespace {

typedef int32_t Choice __attribute__((vector_size(kLanes * 4)));
typedef uint8_t Bytes __attribute__((vector_size(kLanes)));
typedef uint8_t BytesUnaligned __attribute__((vector_size(kLanes), aligned(1), may_alias));

}  // namespace

void pool_row(const float* top, const float* bottom, int64_t n, int64_t channels, float* y, uint8_t* choice) {
  for (int64_t j = 0; j < n;
       ++j, top += 2 * channels, bottom += 2 * channels, y += channels, choice += channels)
    for (int64_t c = 0; c < channels; c += kLanes) {
      Vec best = load(top + c);
      Choice at = {};
      const auto challenge = [&](int k, Vec x) {
        at = x > best ? k - Choice{} : at;
        best = x > best ? x : best;
      };
      challenge(1, load(top + channels + c));
      challenge(2, load(bottom + c));
      challenge(3, load(bottom + channels + c));
      store(y + c, best);
      *reinterpret_cast<BytesUnaligned*>(choice + c) = __builtin_convertvector(at, Bytes);
    }
}

void unpool_row(const float* dy, const uint8_t* choice, int side, int64_t n, int64_t channels, float* dx,
    bool accumulate) {
  for (int64_t j = 0; j < n; ++j, dy += channels, choice += channels, dx += 2 * channels)
    for (int64_t c = 0; c < channels; c += kLanes) {
      const Choice at = __builtin_convertvector(*reinterpret_cast<const BytesUnaligned*>(choice + c), Choice);
      for (int k = 0; k < 2; ++k) {
        const Vec d = at == 2 * side + k ? load(dy + c) : Vec{};
        float* to = dx + k * channels + c;
        store(to, accumulate ? load(to) + d : d);
      }
    }
}

}  // namespace patchcl::PATCHCL_ISA
