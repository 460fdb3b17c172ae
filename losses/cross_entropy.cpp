#include "losses/cross_entropy.h"

#include <algorithm>
#include <cmath>

#include "autograd/ops/softmax_kernels.h"
#include "losses/cross_entropy_kernels.h"
#include "losses/labels.h"
#include "tensor/device.h"
#include "tensor/parallel.h"

namespace patchcl {

namespace {

// How many of the first pixels the fast kernels take.
template <class T> int64_t fast_pixels(const LabelledPixels<T>& x) {
  const bool fast = std::is_same_v<T, float> && kernels() != Kernels::naive && fast_classes(x.classes);
  return fast ? x.count / kBlockRows * kBlockRows : 0;
}

// Writes lse and returns sum_p w_p (lse_p - z_p,label(p)).
template <class T> double forward_pixels(const LabelledPixels<T>& x, T* lse) {
  double sum = 0;
  const T* z = x.p;
  for (int64_t i = 0; i < x.count; ++i, z += x.classes) {
    const T m = *std::max_element(z, z + x.classes);
    double s = 0;
    for (int64_t k = 0; k < x.classes; ++k) s += double(std::exp(z[k] - m));
    lse[i] = m + T(std::log(s));
    sum += double(x.w(i)) * double(lse[i] - z[x.label[i]]);  // EQ: 4.4 cross-entropy
  }
  return sum;
}

template <class T>
void backward_pixels(const LabelledPixels<T>& x, const T* lse, T g, T* dz, bool accumulate) {
  const T* z = x.p;
  for (int64_t i = 0; i < x.count; ++i, z += x.classes, dz += x.classes) {
    const T gw = g * x.w(i);
    for (int64_t k = 0; k < x.classes; ++k)
      store(dz[k], gw * (std::exp(z[k] - lse[i]) - T(k == x.label[i])),
          accumulate);  // EQ: 4.4 cross-entropy gradient
  }
}

}  // namespace

Shape CrossEntropy::shape(const Shapes& x) const {
  check_labelled_shapes(name(), x);
  return {1};
}

void CrossEntropy::forward_cpu(const Forward& f) const {
  check_labels(name(), f.x[1], f.x[0].shape()[-1]);
  dispatch(f.y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    T* lse = f.aux[0].data<T>();
    const LabelledPixels<T> all(f.x, on_last_);
    const double sum = chunked_reduce<double>(all.count, [&](int64_t begin, int64_t end) {
      const auto p = all.window(begin, end);
      const int64_t done = fast_pixels(p);
      double fast = 0;
      if constexpr (std::is_same_v<T, float>)
        if (done)
          fast = ISA_PICK(cross_entropy_forward)(
              p.p, p.label, {p.weight, p.on_last}, done, p.classes, lse + begin);
      return fast + forward_pixels(p.window(done, p.count), lse + begin + done);
    });
    f.y.data<T>()[0] = T(sum / double(all.count));
  });
}

void CrossEntropy::backward_cpu(const Backward& b) const {
  const GradOut& out = b.dx[0];
  if (!out) return;
  dispatch(b.dy.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* lse = b.aux[0].data<T>();
    T* dz = out.t.data<T>();
    const LabelledPixels<T> all(b.x, on_last_);
    const int64_t classes = all.classes;
    const T g = T(double(b.dy.data<T>()[0]) / double(all.count));
    parallel_chunks(all.count, [&](int64_t begin, int64_t end) {
      const auto p = all.window(begin, end);
      const int64_t done = fast_pixels(p);
      if constexpr (std::is_same_v<T, float>)
        if (done) ISA_PICK(cross_entropy_backward)
      (p.p, p.label, {p.weight, p.on_last}, done, classes, lse + begin, g, dz + begin * classes,
          out.accumulate);
      backward_pixels(
          p.window(done, p.count), lse + begin + done, g, dz + (begin + done) * classes, out.accumulate);
    });
  });
}

Var cross_entropy(const Var& logits, const Var& labels, const Var& weight, double border_weight, Loc loc) {
  return logits.tape().apply(
      std::make_shared<CrossEntropy>(border_weight), with_weight(logits, labels, weight), loc);
}

}  // namespace patchcl
