#include "losses/cross_entropy.h"

#include <algorithm>
#include <cmath>

#include "autograd/ops/softmax_fast.h"
#include "losses/cross_entropy_fast.h"
#include "losses/labels.h"
#include "tensor/device.h"
#include "tensor/parallel.h"

namespace patchcl {

namespace {

// Pixels [begin, begin + count) of the inputs.
template <class T>
struct Pixels {
  const T* z;
  const uint8_t* label;
  const T* weight;  // null: all 1
  int64_t count, classes;

  static Pixels window(std::span<const Tensor> x, int64_t begin, int64_t end) {
    const int64_t classes = x[0].shape()[-1];
    return {x[0].data<T>() + begin * classes, x[1].data<uint8_t>() + begin,
        x.size() > 2 ? x[2].data<T>() + begin : nullptr, end - begin, classes};
  }
  T w(int64_t i) const { return weight ? weight[i] : T(1); }
  Pixels from(int64_t i) const {
    return {z + i * classes, label + i, weight ? weight + i : nullptr, count - i, classes};
  }
};

// How many of the first pixels the fast kernels take.
template <class T>
int64_t fast_pixels(const Pixels<T>& p) {
  const bool fast = std::is_same_v<T, float> && kernels() != Kernels::naive && fast_classes(p.classes);
  return fast ? p.count / kBlockRows * kBlockRows : 0;
}

// Writes lse and returns sum_p w_p (lse_p - z_p,label(p)).
template <class T>
double forward_pixels(const Pixels<T>& p, T* lse) {
  double sum = 0;
  const T* z = p.z;
  for (int64_t i = 0; i < p.count; ++i, z += p.classes) {
    const T m = *std::max_element(z, z + p.classes);
    double s = 0;
    for (int64_t k = 0; k < p.classes; ++k) s += double(std::exp(z[k] - m));
    lse[i] = m + T(std::log(s));
    sum += double(p.w(i)) * double(lse[i] - z[p.label[i]]);  // EQ: 4.4 cross-entropy
  }
  return sum;
}

template <class T>
void backward_pixels(const Pixels<T>& p, const T* lse, T g, T* dz, bool accumulate) {
  const T* z = p.z;
  for (int64_t i = 0; i < p.count; ++i, z += p.classes, dz += p.classes) {
    const T gw = g * p.w(i);
    for (int64_t k = 0; k < p.classes; ++k)
      store(dz[k], gw * (std::exp(z[k] - lse[i]) - T(k == p.label[i])),
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
    const int64_t pixels = f.x[1].numel();
    const double sum = chunked_reduce<double>(pixels, [&](int64_t begin, int64_t end) {
      const auto p = Pixels<T>::window(f.x, begin, end);
      const int64_t done = fast_pixels(p);
      double fast = 0;
      if constexpr (std::is_same_v<T, float>)
        if (done)
          fast = ISA_PICK(cross_entropy_forward)(p.z, p.label, p.weight, done, p.classes, lse + begin);
      return fast + forward_pixels(p.from(done), lse + begin + done);
    });
    f.y.data<T>()[0] = T(sum / double(pixels));
  });
}

void CrossEntropy::backward_cpu(const Backward& b) const {
  const GradOut& out = b.dx[0];
  if (!out) return;
  dispatch(b.dy.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* lse = b.aux[0].data<T>();
    T* dz = out.t.data<T>();
    const int64_t pixels = b.x[1].numel(), classes = out.t.shape()[-1];
    const T g = T(double(b.dy.data<T>()[0]) / double(pixels));
    parallel_chunks(pixels, [&](int64_t begin, int64_t end) {
      const auto p = Pixels<T>::window(b.x, begin, end);
      const int64_t done = fast_pixels(p);
      if constexpr (std::is_same_v<T, float>)
        if (done) ISA_PICK(cross_entropy_backward)
      (p.z, p.label, p.weight, done, classes, lse + begin, g, dz + begin * classes, out.accumulate);
      backward_pixels(p.from(done), lse + begin + done, g, dz + (begin + done) * classes, out.accumulate);
    });
  });
}

Var cross_entropy(const Var& logits, const Var& labels, const Var& weight, Loc loc) {
  std::vector<Var> x{logits, labels};
  if (weight) x.push_back(weight);
  return logits.tape().apply(std::make_shared<CrossEntropy>(), std::move(x), loc);
}

}  // namespace patchcl
