#include "losses/exp_lines_kernels.h"

#include "tensor/simd_math.h"

namespace patchcl::PATCHCL_ISA {

namespace {
// The numbers k, k + 1 .. below n in one register; `rest` behind them.
Vec load_part(const float* p, int64_t count, float rest) {
  float part[kLanes];
  for (int i = 0; i < kLanes; ++i) part[i] = i < count ? p[i] : rest;
  return load(part);
}

Vec load_series(const ExpOperand<float>& x, int64_t k, int64_t count) {
  if (x.step == 0) return splat(x.at[0]);
  return count >= kLanes ? load(x.at + k) : load_part(x.at + k, count, 0);
}
}  // namespace

double exp_sum(int64_t n, const float* s, float top) {
  Vec sums{};
  double total = 0;
  int64_t k = 0;
  for (; k + kLanes <= n; k += kLanes) sums += fast_exp(load(s + k) - splat(top));
  float last[kLanes];
  store(last, fast_exp(load_part(s + k, n - k, top) - splat(top)));
  for (int i = 0; i < n - k; ++i) total += double(last[i]);
  store(last, sums);
  for (float v : last) total += double(v);
  return total;
}

void add_exp(int64_t n, const float* s, const ExpOperand<float>& shift, const ExpOperand<float>& w,
    float sign, float* h) {
  for (int64_t k = 0; k < n; k += kLanes) {
    const int64_t left = n - k;
    const Vec row = left >= kLanes ? load(s + k) : load_part(s + k, left, 0);
    const Vec added = splat(sign) * load_series(w, k, left) * fast_exp(row - load_series(shift, k, left));
    if (left >= kLanes) {
      store(h + k, load(h + k) + added);
    } else {
      float part[kLanes];
      store(part, added);
      for (int i = 0; i < left; ++i) h[k + i] += part[i];
    }
  }
}

}  // namespace patchcl::PATCHCL_ISA
