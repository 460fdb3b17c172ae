#include "autograd/ops/norm_act.h"

#include <type_traits>
#include <vector>

#include "autograd/ops/norm_act_channel_kernels.h"
#include "tensor/device.h"
#include "tensor/parallel.h"

namespace patchcl {

using namespace norm_act;

namespace {

// ---- naive: the formulas, any type and any number of channels ----

template <class X> struct NaiveNorm {
  using T = Precise<X>;
  NormMap<X> m;

  // fn(e) summed over the elements of channel c.
  template <class F> double sum(int64_t c, F&& fn) const {
    double s = 0;
    for (int64_t e = c; e < m.rows * m.channels; e += m.channels) s += double(fn(e));
    return s;
  }
  void moments(NormScratch s) const {
    parallel_for(m.channels, [&](int64_t c) {
      const double mean = sum(c, [&](int64_t e) { return T(m.x[e]); }) / double(m.rows);
      s.total[c] = mean;
      s.total[m.channels + c] =
          sum(c, [&](int64_t e) { return (double(m.x[e]) - mean) * (double(m.x[e]) - mean); });
    });
  }
  void forward(X* y) const {
    parallel_chunks(m.rows * m.channels, [&](int64_t begin, int64_t end) {
      for (int64_t e = begin; e < end; ++e) y[e] = m.y(e, e % m.channels);
    });
  }
  void sums(const X* dy, NormScratch s) const {
    parallel_for(m.channels, [&](int64_t c) {
      s.total[c] = sum(c, [&](int64_t e) { return m.dz(e, c, dy[e]); });
      s.total[m.channels + c] =
          sum(c, [&](int64_t e) { return double(m.dz(e, c, dy[e])) * double(m.xhat(e, c)); });
    });
  }
  void backward(const X* dy, const T* mean_dz, X* dx, bool accumulate) const {
    parallel_chunks(m.rows * m.channels, [&](int64_t begin, int64_t end) {
      for (int64_t e = begin; e < end; ++e) {
        const int64_t c = e % m.channels;
        store(dx[e], m.dx(e, c, dy[e], mean_dz[c], mean_dz[m.channels + c]), accumulate);
      }
    });
  }
};

// ---- fast: f32 and bf16, channels in multiples of 16 (norm_act.simd.cpp) ----

template <class X> struct FastNorm {
  NormMap<X> m;

  // fn(begin, end, partial) for chunks of rows, each with its pair of sums; then merge(rows before, rows,
  // partial) in order.
  template <class F, class Merge> void reduce(NormScratch s, F&& fn, Merge&& merge) const {
    const int64_t chunk = NormScratch::chunk_rows(m.rows, m.channels);
    const auto partial = [&](int64_t begin) { return s.partials + begin / chunk * 2 * m.channels; };
    parallel_chunks(
        m.rows, [&](int64_t begin, int64_t end) { fn(begin, end, partial(begin)); }, chunk);
    std::fill_n(s.total, 2 * m.channels, 0.);
    for (int64_t begin = 0; begin < m.rows; begin += chunk)
      merge(double(begin), double(std::min(chunk, m.rows - begin)), partial(begin));
  }
  void moments(NormScratch s) const {
    const auto kernel = ISA_PICK(norm_moments<X>);
    double *mean = s.total, *deviations = s.total + m.channels;
    reduce(
        s,
        [&](int64_t begin, int64_t end, double* part) {
          kernel(m.x, m.channels, begin, end, part, part + m.channels);
        },
        [&](double before, double n, const double* part) {  // Chan, Golub, LeVeque 1979
          for (int64_t c = 0; c < m.channels; ++c) {
            const double apart = part[c] - mean[c];
            deviations[c] += part[m.channels + c] + apart * apart * before * n / (before + n);
            mean[c] += apart * n / (before + n);
          }
        });
  }
  void forward(X* y) const {
    const auto kernel = ISA_PICK(norm_act_forward<X>);
    parallel_chunks(
        m.rows, [&](int64_t begin, int64_t end) { kernel(m, begin, end, y); },
        NormScratch::chunk_rows(m.rows, m.channels));
  }
  void sums(const X* dy, NormScratch s) const {
    const auto kernel = ISA_PICK(norm_act_sums<X>);
    reduce(
        s,
        [&](int64_t begin, int64_t end, double* part) { kernel(m, dy, begin, end, part, part + m.channels); },
        [&](double, double, const double* part) {
          for (int64_t c = 0; c < 2 * m.channels; ++c) s.total[c] += part[c];
        });
  }
  void backward(const X* dy, const float* mean_dz, X* dx, bool accumulate) const {
    const auto kernel = ISA_PICK(norm_act_backward<X>);
    parallel_chunks(
        m.rows,
        [&](int64_t begin, int64_t end) {
          kernel(m, dy, mean_dz, mean_dz + m.channels, begin, end, dx, accumulate);
        },
        NormScratch::chunk_rows(m.rows, m.channels));
  }
};

// ---- the same for 8, 4, 2 or 1 channels: 16 / channels pixels side by side are one of 16 channels ----

template <class X> struct SideBySideNorm {
  NormMap<X> m;

  static bool can(const NormMap<X>& m) {
    return NormScratch::can_fold(m.channels) && m.rows * m.channels % 16 == 0;
  }
  int64_t pixels() const { return 16 / m.channels; }  // side by side

  // A number for each channel, for each of these pixels.
  struct Repeated {
    float at[16];
    Repeated(const float* numbers, int64_t channels) {
      for (int64_t i = 0; i < 16; ++i) at[i] = numbers[i % channels];
    }
  };
  // fn(the map as one of 16 channels)
  template <class F> void as_wide(F&& fn) const {
    const Repeated gamma(m.gamma, m.channels), beta(m.beta, m.channels), mean(m.mean, m.channels),
        rstd(m.rstd, m.channels);
    fn(FastNorm<X>{
        {m.x, gamma.at, beta.at, mean.at, rstd.at, m.mask, m.slope, m.scale, m.rows * m.channels / 16, 16}});
  }
  void moments(NormScratch s) const {
    as_wide([&](const FastNorm<X>& wide) { wide.moments(s); });
    const std::vector<double> part(s.total, s.total + 32);
    const double rows = double(m.rows / pixels());
    for (int64_t c = 0; c < m.channels; ++c) {
      double mean = 0, deviations = 0;
      for (int64_t i = c; i < 16; i += m.channels) mean += part[size_t(i)] / double(pixels());
      for (int64_t i = c; i < 16; i += m.channels) {
        const double apart = part[size_t(i)] - mean;
        deviations += part[size_t(16 + i)] + apart * apart * rows;
      }
      s.total[c] = mean;
      s.total[m.channels + c] = deviations;
    }
  }
  void forward(X* y) const {
    as_wide([&](const FastNorm<X>& wide) { wide.forward(y); });
  }
  void sums(const X* dy, NormScratch s) const {
    as_wide([&](const FastNorm<X>& wide) { wide.sums(dy, s); });
    const std::vector<double> part(s.total, s.total + 32);
    for (int64_t c = 0; c < m.channels; ++c) {
      s.total[c] = s.total[m.channels + c] = 0;
      for (int64_t i = c; i < 16; i += m.channels) {
        s.total[c] += part[size_t(i)];
        s.total[m.channels + c] += part[size_t(16 + i)];
      }
    }
  }
  void backward(const X* dy, const float* mean_dz, X* dx, bool accumulate) const {
    const Repeated first(mean_dz, m.channels), second(mean_dz + m.channels, m.channels);
    float means[32];
    std::copy_n(first.at, 16, means);
    std::copy_n(second.at, 16, means + 16);
    as_wide([&](const FastNorm<X>& wide) { wide.backward(dy, means, dx, accumulate); });
  }
};

// fn(the kernels for this map)
template <class X, class F> void with_kernels(const NormMap<X>& m, F&& fn) {
  if constexpr (!std::is_same_v<X, double>)
    if (kernels() != Kernels::naive) {
      if (m.channels % 16 == 0) return fn(FastNorm<X>{m});
      if (SideBySideNorm<X>::can(m)) return fn(SideBySideNorm<X>{m});
    }
  fn(NaiveNorm<X>{m});
}

}  // namespace

NormAct::NormAct(const Config& config) : config_(config) {
  require(
      config.dropout.p >= 0 && config.dropout.p < 1, name(), "wants 0 <= p < 1, got p = ", config.dropout.p);
}

Shape NormAct::shape(const Shapes& x) const {
  require(x.size() == (config_.dropout.p > 0 ? 6 : 5) && x[kX].rank() >= 2, name(),
      "takes x (N,H,W,C), gamma, beta, running mean, running variance (C), and rng (2) for dropout; got ",
      x.size());
  for (int i : {kGamma, kBeta, kRunningMean, kRunningVar})
    require(x[i] == Shape{x[kX][-1]}, name(), "x ", x[kX], " has ", x[kX][-1], " channels, input ", i, " is ",
        x[i]);
  require(!config_.training || x[kX].rows() > 1, name(), "batch statistics want more than one pixel, x is ",
      x[kX]);
  return x[kX];
}

std::vector<AuxSpec> NormAct::aux(const Shapes& x, DType dtype) const {
  std::vector<AuxSpec> a{{x[kGamma], precise(dtype)}, {x[kGamma], precise(dtype)}};
  if (config_.dropout.p > 0) a.push_back(DropoutMask::aux(x[kX].numel()));
  return a;
}

size_t NormAct::workspace(const Shapes& x, DType, Device) const {
  return NormScratch::bytes(x[kX].rows(), x[kX][-1]);
}

void NormAct::forward_cpu(const Forward& p) const {
  if (config_.dropout.p > 0) DropoutMask::draw(p.x[kRng], config_.dropout, p.aux[kMask]);
  dispatch_data(p.y.dtype(), [&](auto zero) {
    using X = decltype(zero);
    const NormMap<X> m = map_of<X>(p, config_);
    const NormStatistics<Precise<X>> channel(p, config_);
    const NormScratch scratch(p.workspace, m.channels);
    with_kernels(m, [&](const auto& kernels) {
      if (config_.training) kernels.moments(scratch);
      for (int64_t c = 0; c < m.channels; ++c)
        if (config_.training) channel.from_batch(c, scratch.total[c], scratch.total[m.channels + c]);
        else channel.from_running(c);
      kernels.forward(p.y.data<X>());
    });
  });
}

void NormAct::backward_cpu(const Backward& p) const {
  dispatch_data(p.dy.dtype(), [&](auto zero) {
    using X = decltype(zero);
    using T = Precise<X>;
    const NormMap<X> m = map_of<X>(p, config_);
    const NormScratch scratch(p.workspace, m.channels);
    const NormGradients<T> channel(
        p, config_, reinterpret_cast<T*>(scratch.partials));  // whose sums are spent by then
    const X* dy = p.dy.data<X>();
    with_kernels(m, [&](const auto& kernels) {
      kernels.sums(dy, scratch);
      for (int64_t c = 0; c < m.channels; ++c)
        channel.finish(c, scratch.total[c], scratch.total[m.channels + c]);
      if (p.dx[kX]) kernels.backward(dy, channel.mean_dz, p.dx[kX].t.data<X>(), p.dx[kX].accumulate);
    });
  });
}

namespace {
Var apply(const NormAct::Config& config, const Var& x, const Var& gamma, const Var& beta,
    const BatchNormOptions& options, const Var& rng, Loc loc) {
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

Var norm_act_dropout(const Var& x, const Var& gamma, const Var& beta, const BatchNormOptions& options,
    double slope, double p, const Var& rng, uint32_t site, Loc loc) {
  return apply(
      {options.training, options.eps, options.momentum, slope, {p, site}}, x, gamma, beta, options, rng, loc);
}

}  // namespace patchcl
