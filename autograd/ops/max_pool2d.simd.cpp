#include "autograd/ops/max_pool2d_kernels.h"

namespace patchcl::PATCHCL_ISA {
namespace {

typedef int32_t Choice __attribute__((vector_size(kLanes * 4)));
typedef uint8_t Bytes __attribute__((vector_size(kLanes)));
typedef uint8_t BytesUnaligned __attribute__((vector_size(kLanes), aligned(1), may_alias));

}  // namespace

template <class X>
void pool_row(const X* top, const X* bottom, int64_t n, int64_t channels, X* y, uint8_t* choice) {
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

template <class X> void unpool_row(
    const X* dy, const uint8_t* choice, int side, int64_t n, int64_t channels, X* dx, bool accumulate) {
  for (int64_t j = 0; j < n; ++j, dy += channels, choice += channels, dx += 2 * channels)
    for (int64_t c = 0; c < channels; c += kLanes) {
      const Choice at = __builtin_convertvector(*reinterpret_cast<const BytesUnaligned*>(choice + c), Choice);
      for (int k = 0; k < 2; ++k) {
        const Vec d = at == 2 * side + k ? load(dy + c) : Vec{};
        X* to = dx + k * channels + c;
        store(to, accumulate ? load(to) + d : d);
      }
    }
}

#define MAX_POOL_FOR(X)                                                       \
  template void pool_row(const X*, const X*, int64_t, int64_t, X*, uint8_t*); \
  template void unpool_row(const X*, const uint8_t*, int, int64_t, int64_t, X*, bool);
MAX_POOL_FOR(float)
MAX_POOL_FOR(bf16)

}  // namespace patchcl::PATCHCL_ISA
