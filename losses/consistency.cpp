#include "losses/consistency.h"

#include "losses/labels.h"
#include "tensor/parallel.h"

namespace patchcl {

Shape MeanSquaredError::shape(const Shapes& x) const {
  require(x.size() == 2 || x.size() == 3, name(), "takes p, target and at most a weight, got ", x.size(),
      " tensors");
  require(x[0] == x[1] && x[0].rank() >= 2 && x[0].numel() > 0, name(), "p ", x[0], " and target ", x[1],
      " differ or are empty");
  if (x.size() > 2) check_per_pixel(name(), "weight", x[2], x[0]);
  return {1};
}

// One loop is both the reference and the fast kernel.
void MeanSquaredError::forward_cpu(const Forward& f) const {
  const int64_t pixels = f.x[0].shape().rows(), channels = f.x[0].shape()[-1];
  dispatch(f.y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T *p = f.x[0].data<T>(), *t = f.x[1].data<T>(), *weight = weight_of<T>(f.x);
    const double sum = chunked_sum<double>(pixels, [&](int64_t i) {
      double s = 0;
      for (int64_t k = i * channels; k < (i + 1) * channels; ++k)
        s += double(p[k] - t[k]) * double(p[k] - t[k]);
      return weight ? double(weight[i]) * s : s;
    });
    f.y.data<T>()[0] = T(sum / double(pixels * channels));  // EQ: 4.4 consistency
  });
}

void MeanSquaredError::backward_cpu(const Backward& b) const {
  const int64_t pixels = b.x[0].shape().rows(), channels = b.x[0].shape()[-1];
  dispatch(b.dy.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T *p = b.x[0].data<T>(), *t = b.x[1].data<T>(), *weight = weight_of<T>(b.x);
    const double g = 2 * double(b.dy.data<T>()[0]) / double(pixels * channels);
    const auto write = [&](const GradOut& out, T factor) {
      if (!out) return;
      T* d = out.t.data<T>();
      parallel_chunks(pixels, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          const T w = weight ? factor * weight[i] : factor;
          for (int64_t k = i * channels; k < (i + 1) * channels; ++k)
            store(d[k], w * (p[k] - t[k]), out.accumulate);
        }
      });
    };
    write(b.dx[0], T(g));
    write(b.dx[1], T(-g));
  });
}

Var mean_squared_error(const Var& p, const Var& target, const Var& weight, Loc loc) {
  return p.tape().apply(std::make_shared<MeanSquaredError>(), with_weight(p, target, weight), loc);
}

}  // namespace patchcl
