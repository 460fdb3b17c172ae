#include "autograd/ops/upsample2x_kernels.h"

namespace patchcl::PATCHCL_ISA {

// Both kernels run along the row with one vector of channels; what neighbours share stays in registers.

template <class X>
void upsample_row(const X* x, const X* neighbour, float v, int64_t w, int64_t channels, X* y) {
  const float step = 1 / float(2 * w - 1);
  for (int64_t c = 0; c < channels; c += kLanes) {
    const auto mixed = [&](int64_t j) {
      const int64_t at = j * channels + c;
      return load(x + at) + v * (load(neighbour + at) - load(x + at));
    };
    Vec left = mixed(0), here = left;
    for (int64_t j = 0; j < w; ++j) {
      const Vec right = j + 1 < w ? mixed(j + 1) : here;
      store(y + 2 * j * channels + c, here + float(j) * step * (left - here));
      store(y + (2 * j + 1) * channels + c, here + float(w - 1 - j) * step * (right - here));
      left = here;
      here = right;
    }
  }
}

template <class X> void upsample_gather_row(
    const X* dy, const float* v, int64_t rows, int64_t w, int64_t channels, X* dx, bool accumulate) {
  const float step = 1 / float(2 * w - 1);
  for (int64_t c = 0; c < channels; c += kLanes) {
    const auto mixed = [&](int64_t q) {
      Vec sum = {};
      for (int64_t r = 0; r < rows; ++r) sum += v[r] * load(dy + (r * 2 * w + q) * channels + c);
      return sum;
    };
    Vec before = {}, first = mixed(0);  // columns 2j - 1 and 2j of dy
    for (int64_t j = 0; j < w; ++j) {
      const Vec second = mixed(2 * j + 1), after = j + 1 < w ? mixed(2 * j + 2) : Vec{};
      const Vec d = float(w - j) * step * before + (1 - float(j) * step) * first +
                    float(w + j) * step * second + float(j + 1) * step * after;
      X* to = dx + j * channels + c;
      store(to, accumulate ? d + load(to) : d);
      before = second;
      first = after;
    }
  }
}

#define UPSAMPLE_FOR(X)                                                        \
  template void upsample_row(const X*, const X*, float, int64_t, int64_t, X*); \
  template void upsample_gather_row(const X*, const float*, int64_t, int64_t, int64_t, X*, bool);
UPSAMPLE_FOR(float)
UPSAMPLE_FOR(bf16)

}  // namespace patchcl::PATCHCL_ISA
