#include "autograd/ops/norm_act_kernels.h"

namespace patchcl::PATCHCL_ISA {
namespace {

typedef int32_t Lanes __attribute__((vector_size(kLanes * 4)));
constexpr int kRun = 256;                          // rows whose sums stay in f32
constexpr int kMaxVectors = kLanes == 16 ? 4 : 2;  // of a strip: what fits into the register file

// Runs strip.template operator()<V>(c) for strips of V vectors that start at channel c and cover all
// channels.
template <class F> void for_strips(int64_t channels, F&& strip) {
  int64_t c = 0;
  if constexpr (kMaxVectors == 4)
    for (; c + 4 * kLanes <= channels; c += 4 * kLanes) strip.template operator()<4>(c);
  for (; c + 2 * kLanes <= channels; c += 2 * kLanes) strip.template operator()<2>(c);
  for (; c < channels; c += kLanes) strip.template operator()<1>(c);
}

// Two sums per channel of a strip, in f32 over short runs of rows. Several streams of rows hide the latency
// of addition.
template <int V> struct Sums {
  static constexpr int kStreams = 4 / V;
  Vec first[kStreams][V] = {}, second[kStreams][V] = {};

  // row(r, stream) adds row r.
  template <class F> static Sums over(int64_t begin, int64_t end, F&& row) {
    Sums s;
    int64_t r = begin;
    for (; r + kStreams <= end; r += kStreams)
#pragma GCC unroll 4
      for (int k = 0; k < kStreams; ++k) row(r + k, s.first[k], s.second[k]);
    for (; r < end; ++r) row(r, s.first[0], s.second[0]);
    for (int k = 1; k < kStreams; ++k)
      for (int v = 0; v < V; ++v) {
        s.first[0][v] += s.first[k][v];
        s.second[0][v] += s.second[k][v];
      }
    return s;
  }
  double sum(int channel) const { return double(first[0][channel / kLanes][channel % kLanes]); }
  double sum2(int channel) const { return double(second[0][channel / kLanes][channel % kLanes]); }
};

template <int V, class X> void moments_strip(
    const X* x, int64_t channels, int64_t begin, int64_t end, double* mean, double* deviations) {
  for (int c = 0; c < V * kLanes; ++c) mean[c] = deviations[c] = 0;
  for (int64_t run = begin; run < end; run += kRun) {
    const int64_t stop = run + kRun < end ? run + kRun : end;
    // About the run's first row: a mean far larger than the deviations then costs no digits.
    Vec shift[V];
    for (int v = 0; v < V; ++v) shift[v] = load(x + run * channels + v * kLanes);
    const auto s = Sums<V>::over(run, stop, [&](int64_t r, Vec* sum, Vec* squares) {
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) {
        const Vec d = load(x + r * channels + v * kLanes) - shift[v];
        sum[v] += d;
        squares[v] += d * d;
      }
    });
    // Chan, Golub, LeVeque 1979: the moments of `before` rows and of `n` more make those of all.
    const double before = double(run - begin), n = double(stop - run), all = before + n;
    for (int c = 0; c < V * kLanes; ++c) {
      const double mean_run = s.sum(c) / n,
                   apart = double(shift[c / kLanes][c % kLanes]) + mean_run - mean[c];
      deviations[c] += s.sum2(c) - s.sum(c) * mean_run + apart * apart * before * n / all;
      mean[c] += apart * n / all;
    }
  }
}

// The constants of V vectors of channels, and the pointwise part of the formulas.
template <int V, bool Masked, class X> struct Strip {
  const NormMap<X>& map;
  int64_t c;
  Vec mean[V], rstd[V], gamma[V], beta[V];

  Strip(const NormMap<X>& m, int64_t channel) : map(m), c(channel) {
    for (int v = 0; v < V; ++v) {
      mean[v] = load(m.mean + c + v * kLanes);
      rstd[v] = load(m.rstd + c + v * kLanes);
      gamma[v] = load(m.gamma + c + v * kLanes);
      beta[v] = load(m.beta + c + v * kLanes);
    }
  }
  int64_t at(int64_t row, int v) const { return row * map.channels + c + v * kLanes; }
  Vec xhat(int64_t e, int v) const { return (load(map.x + e) - mean[v]) * rstd[v]; }
  // value * k of dropout for elements e .. e + kLanes
  Vec drop(int64_t e, Vec value) const {
    if constexpr (!Masked) return value;
    Lanes lane;
    for (int i = 0; i < kLanes; ++i) lane[i] = 1 << i;
    const Lanes word = int32_t(uint64_t(map.mask[e / 64]) >> (e % 64)) - Lanes{};
    return (word & lane) != 0 ? value * map.scale : Vec{};
  }
  Vec forward(int64_t e, int v) const {
    const Vec z = gamma[v] * xhat(e, v) + beta[v];
    return drop(e, z > 0 ? z : z * map.slope);
  }
  Vec dz(int64_t e, int v, Vec xhat, Vec dy) const {
    const Vec g = drop(e, dy);
    return gamma[v] * xhat + beta[v] > 0 ? g : g * map.slope;
  }
};

// run.template operator()<V, Masked>(channel) for all strips.
template <class X, class F> void for_masked_strips(const NormMap<X>& map, F&& run) {
  for_strips(map.channels, [&]<int V>(int64_t c) {
    if (map.mask) run.template operator()<V, true>(c);
    else run.template operator()<V, false>(c);
  });
}

}  // namespace

template <class X> void norm_moments(
    const X* x, int64_t channels, int64_t begin, int64_t end, double* mean, double* deviations) {
  for_strips(channels,
      [&]<int V>(int64_t c) { moments_strip<V>(x + c, channels, begin, end, mean + c, deviations + c); });
}

template <class X> void norm_act_forward(const NormMap<X>& map, int64_t begin, int64_t end, X* y) {
  for_masked_strips(map, [&]<int V, bool Masked>(int64_t c) {
    const Strip<V, Masked, X> strip(map, c);
    for (int64_t r = begin; r < end; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) store(y + strip.at(r, v), strip.forward(strip.at(r, v), v));
  });
}

template <class X> void norm_act_sums(
    const NormMap<X>& map, const X* dy, int64_t begin, int64_t end, double* dz, double* dz_xhat) {
  for_masked_strips(map, [&]<int V, bool Masked>(int64_t first) {
    const Strip<V, Masked, X> strip(map, first);
    for (int c = 0; c < V * kLanes; ++c) dz[first + c] = dz_xhat[first + c] = 0;
    for (int64_t run = begin; run < end; run += kRun) {
      const auto s =
          Sums<V>::over(run, run + kRun < end ? run + kRun : end, [&](int64_t r, Vec* sum, Vec* sum_xhat) {
#pragma GCC unroll 4
            for (int v = 0; v < V; ++v) {
              const int64_t e = strip.at(r, v);
              const Vec xhat = strip.xhat(e, v), g = strip.dz(e, v, xhat, load(dy + e));
              sum[v] += g;
              sum_xhat[v] += g * xhat;
            }
          });
      for (int c = 0; c < V * kLanes; ++c) {
        dz[first + c] += s.sum(c);
        dz_xhat[first + c] += s.sum2(c);
      }
    }
  });
}

template <class X> void norm_act_backward(const NormMap<X>& map, const X* dy, const float* mean_dz,
    const float* mean_dz_xhat, int64_t begin, int64_t end, X* dx, bool accumulate) {
  for_masked_strips(map, [&]<int V, bool Masked>(int64_t c) {
    const Strip<V, Masked, X> strip(map, c);
    for (int64_t r = begin; r < end; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) {
        const int64_t e = strip.at(r, v), channel = c + v * kLanes;
        const Vec xhat = strip.xhat(e, v), g = strip.dz(e, v, xhat, load(dy + e));
        const Vec d = strip.gamma[v] * strip.rstd[v] *
                      (g - load(mean_dz + channel) - xhat * load(mean_dz_xhat + channel));
        store(dx + e, accumulate ? d + load(dx + e) : d);
      }
  });
}

#define NORM_ACT_FOR(X)                                                                         \
  template void norm_moments(const X*, int64_t, int64_t, int64_t, double*, double*);            \
  template void norm_act_forward(const NormMap<X>&, int64_t, int64_t, X*);                      \
  template void norm_act_sums(const NormMap<X>&, const X*, int64_t, int64_t, double*, double*); \
  template void norm_act_backward(                                                              \
      const NormMap<X>&, const X*, const float*, const float*, int64_t, int64_t, X*, bool);
NORM_ACT_FOR(float)
NORM_ACT_FOR(bf16)

}  // namespace patchcl::PATCHCL_ISA
