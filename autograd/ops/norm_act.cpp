#include "autograd/ops/norm_act.h"

#include <cmath>
#include <vector>

#include "tensor/parallel.h"

namespace patchcl {

namespace {

enum Input { kX, kGamma, kBeta, kRunningMean, kRunningVar, kRng };
enum Aux { kMean, kRstd, kMask };

// What all loops read: element e belongs to channel e % channels.
template <class T> struct Map {
  const T *x, *gamma, *beta, *mean, *rstd;
  const int64_t* mask;  // null without dropout
  T slope, scale;
  int64_t rows, channels;

  T xhat(int64_t e) const { return (x[e] - mean[e % channels]) * rstd[e % channels]; }
  T z(int64_t e) const { return gamma[e % channels] * xhat(e) + beta[e % channels]; }
  T k(int64_t e) const { return !mask ? T(1) : DropoutMask::kept(mask, e) ? scale : T(0); }
  T y(int64_t e) const { return k(e) * (z(e) > T(0) ? z(e) : slope * z(e)); }          // EQ: 4.3 norm, act, dropout
  T dz(int64_t e, T dy) const { return dy * k(e) * (z(e) > T(0) ? T(1) : slope); }
};

template <class T, class Pass> Map<T> map_of(const Pass& p, const NormAct::Config& config) {
  const Shape& s = p.x[kX].shape();
  return {p.x[kX].template data<T>(),   p.x[kGamma].template data<T>(), p.x[kBeta].template data<T>(),
          p.aux[kMean].template data<T>(), p.aux[kRstd].template data<T>(),
          config.dropout.p > 0 ? p.aux[kMask].template data<int64_t>() : nullptr,
          T(config.slope), T(config.dropout.scale()), s.rows(), s[-1]};
}

// Mean and mean squared deviation of one channel, in two passes.
struct Moments { double mean, variance; };
template <class T> Moments moments(const T* x, int64_t rows, int64_t channels) {
  double sum = 0, square = 0;
  for (int64_t r = 0; r < rows; ++r) sum += double(x[r * channels]);
  const double mean = sum / double(rows);
  for (int64_t r = 0; r < rows; ++r) square += (double(x[r * channels]) - mean) * (double(x[r * channels]) - mean);
  return {mean, square / double(rows)};
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

size_t NormAct::workspace(const Shapes& x, DType, Device) const { return size_t(2 * x[kX][-1]) * sizeof(double); }

void NormAct::forward_cpu(const Forward& p) const {
  if (config_.dropout.p > 0) DropoutMask::draw(p.x[kRng], config_.dropout, p.aux[kMask]);
  dispatch(p.y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const Map<T> map = map_of<T>(p, config_);
    T *mean = p.aux[kMean].data<T>(), *rstd = p.aux[kRstd].data<T>();
    T *running_mean = p.x[kRunningMean].data<T>(), *running_var = p.x[kRunningVar].data<T>();
    parallel_for(map.channels, [&](int64_t c) {
      Moments m{double(running_mean[c]), double(running_var[c])};
      if (config_.training) {
        m = moments(map.x + c, map.rows, map.channels);
        const double unbiased = m.variance * double(map.rows) / double(map.rows - 1);
        running_mean[c] = T((1 - config_.momentum) * double(running_mean[c]) + config_.momentum * m.mean);
        running_var[c] = T((1 - config_.momentum) * double(running_var[c]) + config_.momentum * unbiased);
      }
      mean[c] = T(m.mean);
      rstd[c] = T(1 / std::sqrt(m.variance + config_.eps));
    });
    T* y = p.y.data<T>();
    parallel_chunks(p.y.numel(), [&](int64_t begin, int64_t end) {
      for (int64_t e = begin; e < end; ++e) y[e] = map.y(e);
    });
  });
}

void NormAct::backward_cpu(const Backward& p) const {
  dispatch(p.dy.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const Map<T> map = map_of<T>(p, config_);
    const T* dy = p.dy.data<T>();
    double* dbeta = static_cast<double*>(p.workspace.raw());
    double* dgamma = dbeta + map.channels;
    parallel_for(map.channels, [&](int64_t c) {
      dbeta[c] = dgamma[c] = 0;
      for (int64_t e = c; e < map.rows * map.channels; e += map.channels) {
        dbeta[c] += double(map.dz(e, dy[e]));
        dgamma[c] += double(map.dz(e, dy[e])) * double(map.xhat(e));
      }
      if (p.dx[kGamma]) store(p.dx[kGamma].t.data<T>()[c], T(dgamma[c]), p.dx[kGamma].accumulate);
      if (p.dx[kBeta]) store(p.dx[kBeta].t.data<T>()[c], T(dbeta[c]), p.dx[kBeta].accumulate);
    });
    if (!p.dx[kX]) return;
    T* dx = p.dx[kX].t.data<T>();
    const T per_row = config_.training ? T(1) / T(map.rows) : T(0);
    parallel_chunks(p.dy.numel(), [&](int64_t begin, int64_t end) {
      for (int64_t e = begin; e < end; ++e) {
        const int64_t c = e % map.channels;
        const T through_moments = (T(dbeta[c]) + map.xhat(e) * T(dgamma[c])) * per_row;
        store(dx[e], map.gamma[c] * map.rstd[c] * (map.dz(e, dy[e]) - through_moments), p.dx[kX].accumulate);
      }
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
