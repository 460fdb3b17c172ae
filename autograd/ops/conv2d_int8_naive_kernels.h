// The definition of conv2d_int8.h, for the CPU's naive kernel and the GPU's only one; and what the fast
// kernel shares with it.
#pragma once
#include <cmath>

#include "autograd/ops/conv2d_int8_kernels.h"
#include "autograd/ops/conv2d_norm_act.h"
#include "autograd/ops/conv2d_sources_kernels.h"
#include "tensor/bfloat16.h"

namespace patchcl {

// What becomes of the whole-number sums of one output channel: y = a(scale sum + shift); and 1 / step_o.
template <class T> struct Int8Channel { T inverse, scale, shift; };

// The op's inputs under their names.
template <class X> struct Int8Inputs {
  using T = Precise<X>;
  Conv2dSizes s;
  Concatenation<const X> x;
  const T *w, *bias, *gamma, *beta, *mean, *variance, *range;
  double eps;
  T slope;

  Int8Inputs(const Conv2dSizes& sizes, const Forward& f, double eps, double slope)
      : s(sizes), x(f.x.first(f.x.size() - 7)), eps(eps), slope(T(slope)) {
    const auto rest = f.x.last(7);
    const T** const pointers[] = {&w, &bias, &gamma, &beta, &mean, &variance, &range};
    for (size_t i = 0; i < 7; ++i) *pointers[i] = rest[i].template data<T>();
  }

  HD Quantisation<T> quantisation() const {
    const T lo = range[0], width = range[1] - lo;
    if (!(width > T(0))) return {T(0), T(0), 0};
    const T inverse = T(255) / width;
    return {width / T(255), inverse, int32_t(rint(-lo * inverse))};
  }
  HD Int8Channel<T> end_of(int64_t o, T step, T inverse) const {
    const FoldedNorm folded = fold_norm(
        double(bias[o]), double(gamma[o]), double(beta[o]), double(mean[o]), double(variance[o]), eps);
    return {inverse, T(folded.scale * double(quantisation().step) * double(step)), T(folded.shift)};
  }
  HD Int8Channel<T> channel(int64_t o) const {
    T most = T(0), nothing = T(0);  // 0, but NaN where a weight is none
    for (int64_t r = 0; r < 9 * s.cin; ++r) {
      const T v = w[r * s.cout + o], size = v < T(0) ? -v : v;
      most = size > most ? size : most;
      nothing += v * T(0);
    }
    return end_of(o, most / T(127) + nothing, most > T(0) ? T(127) / most : T(0));
  }
  HD X output(int64_t n, int64_t i, int64_t j, int64_t o, const Int8Channel<T>& c) const {
    const Quantisation<T> q = quantisation();
    int64_t sum = 0;
    for (int64_t tap = 0; tap < 9; ++tap) {
      const int64_t a = i + tap / 3 - 1, b = j + tap % 3 - 1;
      if (a < 0 || b < 0 || a >= s.h || b >= s.w) continue;
      for (int64_t k = 0; k < s.cin; ++k) {
        const auto& in = x.of(k);
        const T v = T(in.data[((n * s.h + a) * s.w + b) * in.count + k - in.begin]);
        const T least = T(-q.zero), largest = T(255 - q.zero);
        T whole = v * q.inverse >= least ? v * q.inverse : least;
        whole = rint(whole <= largest ? whole : largest);
        sum += int64_t(whole) * int64_t(rint(w[(tap * s.cin + k) * s.cout + o] * c.inverse));
      }
    }
    const T v = T(sum) * c.scale + c.shift;
    return X(v > T(0) ? v : slope * v);
  }
};

}  // namespace patchcl
