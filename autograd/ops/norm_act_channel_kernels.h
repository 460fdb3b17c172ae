// What norm_act.cpp and norm_act.cu share: the op's tensors under their names, the work on each channel
// between the passes over memory, and where partial sums lie.
#pragma once
#include <algorithm>
#include <cmath>

#include "autograd/ops/norm_act.h"
#include "autograd/ops/norm_act_kernels.h"
#include "tensor/bfloat16.h"

namespace patchcl::norm_act {

enum NormInput { kX, kGamma, kBeta, kRunningMean, kRunningVar, kRng };
enum NormAux { kMean, kRstd, kMask };

template <class X, class Pass> NormMap<X> map_of(const Pass& p, const NormAct::Config& config) {
  using T = Precise<X>;
  const auto numbers = [](const Tensor& t) { return t.data<T>(); };
  const Shape& s = p.x[kX].shape();
  return {p.x[kX].template data<X>(), numbers(p.x[kGamma]), numbers(p.x[kBeta]), numbers(p.aux[kMean]),
      numbers(p.aux[kRstd]), config.dropout.p > 0 ? p.aux[kMask].template data<int64_t>() : nullptr,
      T(config.slope), T(config.dropout.scale()), s.rows(), s[-1]};
}

// From a channel's moments to what normalises it, on the CPU and on the GPU.
template <class T> struct NormStatistics {
  T *mean, *rstd, *running_mean, *running_var;
  double rows, eps, momentum;

  NormStatistics(const Forward& p, const NormAct::Config& config)
      : mean(p.aux[kMean].data<T>()), rstd(p.aux[kRstd].data<T>()), running_mean(p.x[kRunningMean].data<T>()),
        running_var(p.x[kRunningVar].data<T>()), rows(double(p.x[kX].shape().rows())), eps(config.eps),
        momentum(config.momentum) {}
  HD void from_batch(int64_t c, double m, double deviations) const {
    running_mean[c] = T((1 - momentum) * double(running_mean[c]) + momentum * m);
    running_var[c] = T((1 - momentum) * double(running_var[c]) + momentum * deviations / (rows - 1));
    set(c, m, deviations / rows);
  }
  HD void from_running(int64_t c) const { set(c, double(running_mean[c]), double(running_var[c])); }

 private:
  HD void set(int64_t c, double m, double variance) const {
    mean[c] = T(m);
    rstd[c] = T(1 / std::sqrt(variance + eps));
  }
};

// From a channel's sums of dz and dz xhat to its gradients and to the means in dx, which are 0 without batch
// statistics.
template <class T> struct NormGradients {
  T *dgamma, *dbeta;  // null where nobody asks
  bool accumulate_dgamma, accumulate_dbeta;
  T *mean_dz, *mean_dz_xhat;
  double per_row;  // 1/M or 0

  // `means` has room for (2, C).
  NormGradients(const Backward& p, const NormAct::Config& config, T* means)
      : dgamma(p.dx[kGamma] ? p.dx[kGamma].t.data<T>() : nullptr),
        dbeta(p.dx[kBeta] ? p.dx[kBeta].t.data<T>() : nullptr), accumulate_dgamma(p.dx[kGamma].accumulate),
        accumulate_dbeta(p.dx[kBeta].accumulate), mean_dz(means), mean_dz_xhat(means + p.x[kGamma].numel()),
        per_row(config.training ? 1 / double(p.x[kX].shape().rows()) : 0) {}
  HD void finish(int64_t c, double dz, double dz_xhat) const {
    if (dgamma) store(dgamma[c], T(dz_xhat), accumulate_dgamma);
    if (dbeta) store(dbeta[c], T(dz), accumulate_dbeta);
    mean_dz[c] = T(dz * per_row);
    mean_dz_xhat[c] = T(dz_xhat * per_row);
  }
};

// The workspace: pairs of sums for each channel, of all rows and of each chunk of rows. Where a few pixels
// side by side can be one of 16 channels, as for 8, it has room for those.
struct NormScratch {
  double* total;     // (2, C)
  double* partials;  // (chunks, 2, C)

  static bool can_fold(int64_t channels) { return channels < 16 && 16 % channels == 0; }

  // About 16384 numbers, at most 512 chunks: by shape alone.
  static int64_t chunk_rows(int64_t rows, int64_t channels) {
    return std::max({int64_t(1), 16384 / channels, (rows + 511) / 512});
  }
  static int64_t chunks(int64_t rows, int64_t channels) {
    const int64_t chunk = chunk_rows(rows, channels);
    return (rows + chunk - 1) / chunk;
  }
  static size_t bytes(int64_t rows, int64_t channels) {
    int64_t sums = chunks(rows, channels) * 2 * channels;
    if (can_fold(channels)) sums = std::max(sums, chunks(rows * channels / 16, 16) * 2 * 16);
    return size_t(2 * wide(channels) + sums) * sizeof(double);
  }
  NormScratch(const Tensor& workspace, int64_t channels)
      : total(static_cast<double*>(workspace.raw())), partials(total + 2 * wide(channels)) {}

 private:
  static int64_t wide(int64_t channels) { return can_fold(channels) ? 16 : channels; }
};

}  // namespace patchcl::norm_act
