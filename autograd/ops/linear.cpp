#include "autograd/ops/linear.h"

#include <algorithm>

#include "autograd/ops/matmul.h"
#include "tensor/parallel.h"

namespace patchcl {

Shape Linear::shape(const Shapes& x) const {
  require(x.size() == 2 || x.size() == 3, name(), "takes x, weight and at most a bias, got ", x.size(),
      " tensors");
  require(x[0].rank() == 2 && x[1].rank() == 2, name(), "wants x (n,in) and weight (in,out), got ", x[0],
      " and ", x[1]);
  require(x[0][1] == x[1][0], name(), "weight ", x[1], " wants ", x[1][0], " inputs, x is ", x[0]);
  if (x.size() > 2)
    require(x[2] == Shape{x[1][1]}, name(), "weight ", x[1], " wants a bias (", x[1][1], "), got ", x[2]);
  return {x[0][0], x[1][1]};
}

void Linear::forward_cpu(const Forward& f) const {
  dispatch(f.y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const int64_t n = f.y.shape()[0], out = f.y.shape()[1], in = f.x[0].shape()[1];
    const bool bias = f.x.size() > 2;
    T* y = f.y.data<T>();
    if (bias) {
      const T* b = f.x[2].data<T>();
      for (int64_t i = 0; i < n; ++i) std::copy(b, b + out, y + i * out);
    }
    multiply(
        Device::cpu, false, false, n, out, in, f.x[0].data<T>(), f.x[1].data<T>(), /*accumulate=*/bias, y);
  });
}

namespace {

constexpr int64_t kSums = 16;  // as many as one line of dy gives in one read

// Of outputs [begin, end): sums of columns of dy.
template <class T>
void bias_gradient(int64_t begin, int64_t end, int64_t n, int64_t out, const T* dy, const GradOut& db) {
  double sums[kSums] = {};
  for (int64_t i = 0; i < n; ++i)
    for (int64_t o = begin; o < end; ++o) sums[o - begin] += double(dy[i * out + o]);
  for (int64_t o = begin; o < end; ++o) store(db.t.data<T>()[o], T(sums[o - begin]), db.accumulate);
}

}  // namespace

void Linear::backward_cpu(const Backward& p) const {
  dispatch(p.dy.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T *x = p.x[0].data<T>(), *w = p.x[1].data<T>(), *dy = p.dy.data<T>();
    const int64_t n = p.dy.shape()[0], out = p.dy.shape()[1], in = p.x[0].shape()[1];
    if (const GradOut& dx = p.dx[0])
      multiply(Device::cpu, false, true, n, in, out, dy, w, dx.accumulate, dx.t.data<T>());
    if (const GradOut& dw = p.dx[1])
      multiply(Device::cpu, true, false, in, out, n, x, dy, dw.accumulate, dw.t.data<T>());
    if (p.dx.size() > 2 && p.dx[2])
      parallel_chunks(
          out, [&](int64_t begin, int64_t end) { bias_gradient(begin, end, n, out, dy, p.dx[2]); }, kSums);
  });
}

Var linear(const Var& x, const Var& w, const Var& b, Loc loc) {
  std::vector<Var> inputs{x, w};
  if (b) inputs.push_back(b);
  return x.tape().apply(std::make_shared<Linear>(), std::move(inputs), loc);
}

}  // namespace patchcl
