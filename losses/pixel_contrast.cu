#include "losses/pixel_contrast.h"
#include "tensor/cuda_runtime.cuh"

namespace patchcl {

namespace {

// The vectors as the kernels read them; row i = g * m + place in the group.
template <class T> struct PixelVectors {
  PixelVectors(std::span<const Tensor> x, std::span<const Tensor> aux, const Tensor& workspace,
      const PixelContrastOptions& options)
      : f(x[0].data<T>()), labels(x[1].data<int32_t>()), groups(x[0].shape()[0]), m(x[0].shape()[1]),
        D(x[0].shape()[2]), positives(aux[0].data<int32_t>()),
        stats(reinterpret_cast<AnchorStats<T>*>(aux[1].data<T>())),
        share(static_cast<double*>(workspace.raw())), losses(share + groups), partial(losses + groups * m),
        options(options) {}

  // The vectors of the group of row i are [begin, begin + m).
  __device__ int64_t begin(int64_t i) const { return i / m * m; }
  // |P(i)| of an anchor, 0 for others.
  __device__ int32_t count_positives(int64_t i) const {
    int64_t count = 0;
    for (int64_t k = begin(i); k < begin(i) + m; ++k) count += k != i && labels[k] == labels[i];
    return labels[i] != 0 && count + 1 < m ? int32_t(count) : 0;
  }
  __device__ int64_t count_anchors(int64_t g) const {
    int64_t count = 0;
    for (int64_t k = g * m; k < (g + 1) * m; ++k) count += positives[k] > 0;
    return count;
  }
  template <int kLanes> __device__ T similarity(int64_t i, int64_t k, cuda::Lanes<kLanes> lanes) const {
    T sum = 0;
    lanes.each(D, [&](int64_t d) { sum += f[i * D + d] * f[k * D + d]; });
    return lanes.sum(sum) / T(options.tau);
  }
  // dL/ds_ik for a vector k of the group of i.
  __device__ T slope(int64_t i, int64_t k, T s) const {
    if (stats[i].weight == 0) return 0;
    const bool positive = labels[i] == labels[k];
    T pull = 0, push = 0;
    if (!positive || options.denominator == ContrastDenominator::all) push = std::exp(s - stats[i].all);
    if (positive)
      pull = options.form == ContrastForm::paper ? std::exp(s - stats[i].positives) : T(1) / T(positives[i]);
    return stats[i].weight * (push - pull);
  }

  const T* f;
  const int32_t* labels;
  int64_t groups, m, D;
  int32_t* positives;  // |P(i)| of an anchor, 0 for others
  AnchorStats<T>* stats;
  double *share, *losses, *partial;
  PixelContrastOptions options;
};

// l_i: the lanes share the features of a vector and walk together over the candidates.
template <class T> struct ContrastRow {
  PixelVectors<T> c;
  template <int kLanes> __device__ void operator()(int64_t i, cuda::Lanes<kLanes> lanes) const {
    AnchorSums sums;
    double loss = 0;
    AnchorStats<T> stats{T(0), T(0), T(0)};
    if (c.positives[i] > 0) {
      for (int64_t k = c.begin(i); k < c.begin(i) + c.m; ++k) {
        if (k == i) continue;
        const double s = c.similarity(i, k, lanes);
        const bool positive = c.labels[i] == c.labels[k];
        (positive ? sums.positives : sums.negatives).add(s);
        if (positive) sums.similarity += s;
      }
      loss = sums.finish(c.options, c.positives[i], c.share[i / c.m], stats);
    }
    if (lanes.lane != 0) return;
    c.losses[i] = loss;
    c.stats[i] = stats;
  }
};

// dL/df_i.
template <class T> struct ContrastGradientRow {
  PixelVectors<T> c;
  const T* dy;
  T* dx;
  bool accumulate;
  template <int kLanes> __device__ void operator()(int64_t i, cuda::Lanes<kLanes> lanes) const {
    T* to = dx + i * c.D;
    if (!accumulate) lanes.each(c.D, [&](int64_t d) { to[d] = 0; });
    const T scale = dy[0] / T(c.options.tau);
    for (int64_t k = c.begin(i); k < c.begin(i) + c.m; ++k) {
      if (k == i || (c.stats[i].weight == 0 && c.stats[k].weight == 0)) continue;
      const T s = c.similarity(i, k, lanes);
      const T h = scale * (c.slope(i, k, s) + c.slope(k, i, s));
      lanes.each(c.D, [&](int64_t d) { to[d] += h * c.f[k * c.D + d]; });
    }
  }
};

template <class T> void launch_forward(const Forward& f, const PixelContrastOptions& options) {
  const PixelVectors<T> c(f.x, f.aux, f.workspace, options);
  cuda::for_each(c.groups * c.m, [=] __device__(int64_t i) { c.positives[i] = c.count_positives(i); });
  cuda::for_each(c.groups, [=] __device__(int64_t g) {
    const int64_t anchors = c.count_anchors(g);
    c.share[g] = anchors > 0 ? 1 / double(anchors) : 0;
  });
  cuda::for_each(1, [=] __device__(int64_t) {
    int64_t active = 0;
    for (int64_t g = 0; g < c.groups; ++g) active += c.share[g] > 0;
    for (int64_t g = 0; g < c.groups; ++g) c.share[g] /= double(active > 0 ? active : 1);
  });
  cuda::for_each_row(c.groups * c.m, c.D, ContrastRow<T>{c});
  T* y = f.y.data<T>();
  cuda::reduce(
      c.groups * c.m, c.partial, [=] __device__(int64_t i) { return c.losses[i]; },
      [=] __device__(double total) { y[0] = T(total); });
}

template <class T> void launch_backward(const Backward& b, const PixelContrastOptions& options) {
  if (!b.dx[0]) return;
  const PixelVectors<T> c(b.x, b.aux, b.workspace, options);
  cuda::for_each_row(c.groups * c.m, c.D,
      ContrastGradientRow<T>{c, b.dy.data<T>(), b.dx[0].t.template data<T>(), b.dx[0].accumulate});
}

}  // namespace

void PixelContrast::forward_cuda(const Forward& f) const {
  dispatch(f.y.dtype(), [&](auto zero) { launch_forward<decltype(zero)>(f, options_); });
}

void PixelContrast::backward_cuda(const Backward& b) const {
  dispatch(b.dy.dtype(), [&](auto zero) { launch_backward<decltype(zero)>(b, options_); });
}

}  // namespace patchcl
