#include "autograd/ops/norm_act.h"

#include <algorithm>
#include <cmath>
#include <type_traits>
#include <vector>

#include "autograd/ops/norm_act_kernels.h"
#include "tensor/device.h"
#include "tensor/parallel.h"

namespace patchcl {

namespace {

enum Input { kX, kGamma, kBeta, kRunningMean, kRunningVar, kRng };
enum Aux { kMean, kRstd, kMask };

template <class T, class Pass> NormMap<T> map_of(const Pass& p, const NormAct::Config& config) {
  const auto numbers = [](const Tensor& t) { return t.data<T>(); };
  const Shape& s = p.x[kX].shape();
  return {numbers(p.x[kX]), numbers(p.x[kGamma]), numbers(p.x[kBeta]), numbers(p.aux[kMean]), numbers(p.aux[kRstd]),
          config.dropout.p > 0 ? p.aux[kMask].template data<int64_t>() : nullptr,
          T(config.slope), T(config.dropout.scale()), s.rows(), s[-1]};
}

// Rows that one partial sum covers.
int64_t chunk_rows(int64_t rows, int64_t channels) {
  return std::max({int64_t(1), kChunk / channels, chunks(rows, kMaxPartials)});
}

// The workspace: pairs of sums for each channel, of all rows and of each chunk of rows.
struct Scratch {
  double* total;     // (2, C)
  double* partials;  // (chunks, 2, C)

  static size_t bytes(int64_t rows, int64_t channels) {
    return size_t((1 + chunks(rows, chunk_rows(rows, channels))) * 2 * channels) * sizeof(double);
  }
  Scratch(const Tensor& workspace, int64_t channels)
      : total(static_cast<double*>(workspace.raw())), partials(total + 2 * channels) {}
};

// ---- naive: the formulas, any type and any number of channels ----

template <class T> struct Naive {
  NormMap<T> m;

  T xhat(int64_t e) const { return (m.x[e] - m.mean[e % m.channels]) * m.rstd[e % m.channels]; }
  T z(int64_t e) const { return m.gamma[e % m.channels] * xhat(e) + m.beta[e % m.channels]; }
  T k(int64_t e) const { return !m.mask ? T(1) : DropoutMask::kept(m.mask, e) ? m.scale : T(0); }
  T y(int64_t e) const { return k(e) * (z(e) > T(0) ? z(e) : m.slope * z(e)); }  // EQ: 4.3 norm, activation, dropout
  T dz(int64_t e, T dy) const { return dy * k(e) * (z(e) > T(0) ? T(1) : m.slope); }

  // fn(e) summed over the elements of channel c.
  template <class F> double sum(int64_t c, F&& fn) const {
    double s = 0;
    for (int64_t e = c; e < m.rows * m.channels; e += m.channels) s += fn(e);
    return s;
  }
  void moments(Scratch s) const {
    parallel_for(m.channels, [&](int64_t c) {
      const double mean = sum(c, [&](int64_t e) { return double(m.x[e]); }) / double(m.rows);
      s.total[c] = mean;
      s.total[m.channels + c] = sum(c, [&](int64_t e) { return (double(m.x[e]) - mean) * (double(m.x[e]) - mean); });
    });
  }
  void forward(T* out) const {
    parallel_chunks(m.rows * m.channels, [&](int64_t begin, int64_t end) {
      for (int64_t e = begin; e < end; ++e) out[e] = y(e);
    });
  }
  void sums(const T* dy, Scratch s) const {
    parallel_for(m.channels, [&](int64_t c) {
      s.total[c] = sum(c, [&](int64_t e) { return double(dz(e, dy[e])); });
      s.total[m.channels + c] = sum(c, [&](int64_t e) { return double(dz(e, dy[e])) * double(xhat(e)); });
    });
  }
  void backward(const T* dy, const T* mean_dz, T* dx, bool accumulate) const {
    const T* mean_dz_xhat = mean_dz + m.channels;
    parallel_chunks(m.rows * m.channels, [&](int64_t begin, int64_t end) {
      for (int64_t e = begin; e < end; ++e) {
        const int64_t c = e % m.channels;
        const T inner = dz(e, dy[e]) - mean_dz[c] - xhat(e) * mean_dz_xhat[c];
        store(dx[e], m.gamma[c] * m.rstd[c] * inner, accumulate);
      }
    });
  }
};

// ---- fast: f32, channels in multiples of 16 (norm_act.simd.cpp) ----

struct Fast {
  NormMap<float> m;

  // fn(begin, end, partial) for chunks of rows, each with its pair of sums; then merge(rows before, rows, partial) in order.
  template <class F, class Merge> void reduce(Scratch s, F&& fn, Merge&& merge) const {
    const int64_t chunk = chunk_rows(m.rows, m.channels);
    const auto partial = [&](int64_t begin) { return s.partials + begin / chunk * 2 * m.channels; };
    parallel_chunks(m.rows, [&](int64_t begin, int64_t end) { fn(begin, end, partial(begin)); }, chunk);
    std::fill_n(s.total, 2 * m.channels, 0.);
    for (int64_t begin = 0; begin < m.rows; begin += chunk)
      merge(double(begin), double(std::min(chunk, m.rows - begin)), partial(begin));
  }
  void moments(Scratch s) const {
    const auto kernel = ISA_PICK(norm_moments);
    double *mean = s.total, *deviations = s.total + m.channels;
    reduce(s, [&](int64_t begin, int64_t end, double* part) { kernel(m.x, m.channels, begin, end, part, part + m.channels); },
           [&](double before, double n, const double* part) {  // Chan, Golub, LeVeque 1979
             for (int64_t c = 0; c < m.channels; ++c) {
               const double apart = part[c] - mean[c];
               deviations[c] += part[m.channels + c] + apart * apart * before * n / (before + n);
               mean[c] += apart * n / (before + n);
             }
           });
  }
  void forward(float* y) const {
    const auto kernel = ISA_PICK(norm_act_forward);
    parallel_chunks(m.rows, [&](int64_t begin, int64_t end) { kernel(m, begin, end, y); }, chunk_rows(m.rows, m.channels));
  }
  void sums(const float* dy, Scratch s) const {
    const auto kernel = ISA_PICK(norm_act_sums);
    reduce(s, [&](int64_t begin, int64_t end, double* part) { kernel(m, dy, begin, end, part, part + m.channels); },
           [&](double, double, const double* part) {
             for (int64_t c = 0; c < 2 * m.channels; ++c) s.total[c] += part[c];
           });
  }
  void backward(const float* dy, const float* mean_dz, float* dx, bool accumulate) const {
    const auto kernel = ISA_PICK(norm_act_backward);
    parallel_chunks(m.rows, [&](int64_t begin, int64_t end) {
      kernel(m, dy, mean_dz, mean_dz + m.channels, begin, end, dx, accumulate);
    }, chunk_rows(m.rows, m.channels));
  }
};

// fn(the kernels for this map)
template <class T, class F> void with_kernels(const NormMap<T>& m, F&& fn) {
  if constexpr (std::is_same_v<T, float>)
    if (kernels() != Kernels::naive && m.channels % 16 == 0) return fn(Fast{m});
  fn(Naive<T>{m});
}

}  // namespace

NormAct::NormAct(const Config& config) : config_(config) {
  require(config.dropout.p >= 0 && config.dropout.p < 1, name(), "wants 0 <= p < 1, got p = ", config.dropout.p);
}

Shape NormAct::shape(const Shapes& x) const {
  require(x.size() == (config_.dropout.p > 0 ? 6 : 5) && x[kX].rank() >= 2, name(),
          "takes x (N,H,W,C), gamma, beta, running mean, running variance (C), and rng (2) for dropout; got ", x.size());
  for (int i : {kGamma, kBeta, kRunningMean, kRunningVar})
    require(x[i] == Shape{x[kX][-1]}, name(), "x ", x[kX], " has ", x[kX][-1], " channels, input ", i, " is ", x[i]);
  require(!config_.training || x[kX].rows() > 1, name(), "batch statistics want more than one pixel, x is ", x[kX]);
  return x[kX];
}

std::vector<AuxSpec> NormAct::aux(const Shapes& x, DType dtype) const {
  std::vector<AuxSpec> a{{x[kGamma], dtype}, {x[kGamma], dtype}};
  if (config_.dropout.p > 0) a.push_back(DropoutMask::aux(x[kX].numel()));
  return a;
}

size_t NormAct::workspace(const Shapes& x, DType, Device) const { return Scratch::bytes(x[kX].rows(), x[kX][-1]); }

void NormAct::forward_cpu(const Forward& p) const {
  if (config_.dropout.p > 0) DropoutMask::draw(p.x[kRng], config_.dropout, p.aux[kMask]);
  dispatch(p.y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const NormMap<T> map = map_of<T>(p, config_);
    const Scratch scratch(p.workspace, map.channels);
    T *mean = p.aux[kMean].data<T>(), *rstd = p.aux[kRstd].data<T>();
    T *running_mean = p.x[kRunningMean].data<T>(), *running_var = p.x[kRunningVar].data<T>();
    with_kernels(map, [&](const auto& kernels) {
      if (config_.training) kernels.moments(scratch);
      for (int64_t c = 0; c < map.channels; ++c) {
        double m = double(running_mean[c]), variance = double(running_var[c]);
        if (config_.training) {
          const double deviations = scratch.total[map.channels + c], momentum = config_.momentum;
          running_mean[c] = T((1 - momentum) * m + momentum * scratch.total[c]);
          running_var[c] = T((1 - momentum) * variance + momentum * deviations / double(map.rows - 1));
          m = scratch.total[c];
          variance = deviations / double(map.rows);
        }
        mean[c] = T(m);
        rstd[c] = T(1 / std::sqrt(variance + config_.eps));
      }
      kernels.forward(p.y.data<T>());
    });
  });
}

void NormAct::backward_cpu(const Backward& p) const {
  dispatch(p.dy.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const NormMap<T> map = map_of<T>(p, config_);
    const Scratch scratch(p.workspace, map.channels);
    const T* dy = p.dy.data<T>();
    const int64_t channels = map.channels;
    with_kernels(map, [&](const auto& kernels) {
      kernels.sums(dy, scratch);
      T* mean_dz = reinterpret_cast<T*>(scratch.partials);  // (2, C): of dz and of dz xhat; the partial sums are spent
      for (int64_t c = 0; c < channels; ++c) {
        const double dz = scratch.total[c], dz_xhat = scratch.total[channels + c];
        if (p.dx[kGamma]) store(p.dx[kGamma].t.data<T>()[c], T(dz_xhat), p.dx[kGamma].accumulate);
        if (p.dx[kBeta]) store(p.dx[kBeta].t.data<T>()[c], T(dz), p.dx[kBeta].accumulate);
        mean_dz[c] = config_.training ? T(dz / double(map.rows)) : T(0);
        mean_dz[channels + c] = config_.training ? T(dz_xhat / double(map.rows)) : T(0);
      }
      if (p.dx[kX]) kernels.backward(dy, mean_dz, p.dx[kX].t.data<T>(), p.dx[kX].accumulate);
    });
  });
}

namespace {
Var apply(const NormAct::Config& config, const Var& x, const Var& gamma, const Var& beta, const BatchNormOptions& options,
          const Var& rng, Loc loc) {
  Tape& tape = x.tape();
  std::vector<Var> in{x, gamma, beta, tape.constant(options.running_mean, "running mean"),
                      tape.constant(options.running_var, "running variance")};
  if (config.dropout.p > 0) in.push_back(rng);
  return tape.apply(std::make_shared<NormAct>(config), std::move(in), loc);
}
}  // namespace

Var batch_norm(const Var& x, const Var& gamma, const Var& beta, const BatchNormOptions& options, Loc loc) {
  return apply({options.training, options.eps, options.momentum}, x, gamma, beta, options, {}, loc);
}

Var norm_act_dropout(const Var& x, const Var& gamma, const Var& beta, const BatchNormOptions& options, double slope,
                     double p, const Var& rng, uint32_t site, Loc loc) {
  return apply({options.training, options.eps, options.momentum, slope, {p, site}}, x, gamma, beta, options, rng, loc);
}

}  // namespace patchcl
