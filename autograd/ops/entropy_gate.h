// Features weighted by how sure a small classifier is about them (UAFS; METHODS 3.3).
//
//   u = softmax_M(a);   H = -1/log M sum_m u_m log u_m  in [0,1];   y_c = x_c (2 - H)
//   dx_c = (2 - H) dy_c;   dH = -sum_c x_c dy_c;   dH/da_j = -u_j / log M ( log u_j - sum_m u_m log u_m )
// M = 1: u is a sigmoid and H the binary entropy, in bits; dH/da = -u (1 - u) a / log 2. M = 2 is the same of
// a_1 - a_0, and takes the same way.
// Inputs: x (..,C); a (..,M), logits of the same pixels. Output: the shape of x. H is a function of a alone,
// so both passes compute it; nothing is kept for backward but the inputs. The published code adds 1e-20 or
// 1e-8 within the logarithm; log u comes from the logits here and is always finite.
#pragma once
#include <cmath>

#include "autograd/tape.h"

namespace patchcl {

// The uncertainty H of one pixel and what its derivative needs.
struct PixelEntropy {
  double entropy = 0;  // -sum u log u, in nats
  double apart = 0;    // one or two logits: u is the sigmoid of this
  double other = 0;    // and e^-|apart|
  double log_all = 0;  // three and more: log u_j = a_j - log_all

  template <class T> HD PixelEntropy(const T* a, int64_t M) {
    if (M <= 2) {
      apart = M == 1 ? double(a[0]) : double(a[1]) - double(a[0]);
      const double size = std::fabs(apart);
      other = std::exp(-size);
      entropy = std::log1p(other) + other / (1 + other) * size;
      return;
    }
    double top = a[0], sum = 0;
    for (int64_t m = 1; m < M; ++m)
      if (double(a[m]) > top) top = double(a[m]);
    for (int64_t m = 0; m < M; ++m) sum += std::exp(double(a[m]) - top);
    log_all = top + std::log(sum);
    for (int64_t m = 0; m < M; ++m) {
      const double log_u = double(a[m]) - log_all;
      entropy -= std::exp(log_u) * log_u;
    }
  }
  // H, and the unit that it is measured in.
  HD static double unit(int64_t M) { return std::log(M == 1 ? 2. : double(M)); }
  HD double share(int64_t M) const { return entropy / unit(M); }  // EQ: 3.3 uncertainty H
  // dH/da_j
  template <class T> HD double slope(const T* a, int64_t j, int64_t M) const {
    if (M <= 2) {
      const double towards = M == 2 && j == 0 ? -1 : 1;
      return -towards * other / ((1 + other) * (1 + other)) * apart / unit(M);
    }
    const double log_u = double(a[j]) - log_all;
    return -std::exp(log_u) * (log_u + entropy) / unit(M);  // EQ: 3.3 dH/da
  }
};

// One pixel, forward and backward; dx or da may be null.
template <class T> HD inline void gate_pixel(const T* x, const T* a, int64_t C, int64_t M, T* y) {
  const T gate = T(2 - PixelEntropy(a, M).share(M));  // EQ: 3.3 gated features
  for (int64_t c = 0; c < C; ++c) y[c] = gate * x[c];
}
template <class T> struct GateGradients {
  T *dx, *da;
  bool add_x, add_a;
  HD void pixel(const T* x, const T* a, const T* dy, int64_t C, int64_t M, int64_t i) const {
    const PixelEntropy h(a, M);
    const T gate = T(2 - h.share(M));
    double dh = 0;
    for (int64_t c = 0; c < C; ++c) dh -= double(x[c]) * double(dy[c]);
    for (int64_t c = 0; dx && c < C; ++c) store(dx[i * C + c], T(gate * dy[c]), add_x);
    for (int64_t m = 0; da && m < M; ++m) store(da[i * M + m], T(dh * h.slope(a, m, M)), add_a);
  }
};
template <class T> GateGradients<T> gate_gradients(const GradOut& x, const GradOut& a) {
  return {x ? x.t.data<T>() : nullptr, a ? a.t.data<T>() : nullptr, x.accumulate, a.accumulate};
}

class EntropyGate final : public Op {
 public:
  const char* name() const override { return "entropy_gate"; }
  Saves saves() const override { return {.inputs = 0b11, .output = false}; }
  Shape shape(const Shapes& x) const override;

 protected:
  OP_CPU
  OP_CUDA
};

Var entropy_gate(const Var& x, const Var& logits, Loc loc = Loc::current());

}  // namespace patchcl
