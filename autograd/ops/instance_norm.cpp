#include "autograd/ops/instance_norm.h"

namespace patchcl {

namespace {

enum Aux { kMean, kRstd, kConstants };
// Rows of kConstants: gamma and beta where the caller gave none, and where NormAct puts running statistics,
// which nobody reads.
enum Constant { kOne, kZero, kUnreadMean, kUnreadVar, kConstantRows };

Tensor row(const Tensor& t, int64_t i) { return t.rows(i, 1).reshape({t.shape()[-1]}); }

// The inputs and aux of NormAct for image n.
std::vector<Tensor> inputs_of(std::span<const Tensor> x, std::span<const Tensor> aux, int64_t n) {
  const Tensor& constants = aux[kConstants];
  const bool affine = x.size() > 1;
  return {x[0].rows(n, 1), affine ? x[1] : row(constants, kOne), affine ? x[2] : row(constants, kZero),
      row(constants, kUnreadMean), row(constants, kUnreadVar)};
}
std::vector<Tensor> aux_of(std::span<const Tensor> aux, int64_t n) {
  return {row(aux[kMean], n), row(aux[kRstd], n)};
}

// Of one image, with the parameters' shapes.
Shapes image_shapes(const Shapes& x) {
  const Shape channels{x[0][3]};
  return {{1, x[0][1], x[0][2], x[0][3]}, channels, channels, channels, channels};
}

}  // namespace

Shape InstanceNorm::shape(const Shapes& x) const {
  require(
      x.size() == 1 || x.size() == 3, name(), "takes x, or x, gamma and beta; got ", x.size(), " tensors");
  require(x[0].rank() == 4 && x[0].numel() > 0, name(), "wants x (N,H,W,C) with elements, got ", x[0]);
  require(x[0][1] * x[0][2] > 1, name(), "wants more than one pixel an image, x is ", x[0]);
  for (size_t i = 1; i < x.size(); ++i)
    require(
        x[i] == Shape{x[0][3]}, name(), "x ", x[0], " has ", x[0][3], " channels, input ", i, " is ", x[i]);
  return x[0];
}

std::vector<AuxSpec> InstanceNorm::aux(const Shapes& x, DType dtype) const {
  const AuxSpec channel = norm_.aux(image_shapes(x), dtype)[kMean];
  const auto rows = [&](int64_t n) { return AuxSpec{{n, x[0][3]}, channel.dtype}; };
  return {rows(x[0][0]), rows(x[0][0]), rows(kConstantRows)};
}

size_t InstanceNorm::workspace(const Shapes& x, DType dtype, Device device) const {
  return norm_.workspace(image_shapes(x), dtype, device);
}

void InstanceNorm::forward_cpu(const Forward& f) const { forward_any(f); }
void InstanceNorm::backward_cpu(const Backward& b) const { backward_any(b); }

// EQ: 2.4 instance norm
void InstanceNorm::forward_any(const Forward& f) const {
  fill_zero(f.aux[kConstants]);
  fill(row(f.aux[kConstants], kOne), 1);
  for (int64_t n = 0; n < f.y.shape()[0]; ++n)
    norm_.forward({inputs_of(f.x, f.aux, n), f.y.rows(n, 1), aux_of(f.aux, n), f.workspace});
}

void InstanceNorm::backward_any(const Backward& b) const {
  for (int64_t n = 0; n < b.dy.shape()[0]; ++n) {
    std::vector<GradOut> dx(5);
    if (b.dx[0]) dx[0] = {b.dx[0].t.rows(n, 1), b.dx[0].accumulate};
    for (size_t i = 1; i < b.dx.size(); ++i) dx[i] = {b.dx[i].t, b.dx[i].accumulate || n > 0};
    norm_.backward({inputs_of(b.x, b.aux, n), {}, aux_of(b.aux, n), b.dy.rows(n, 1), dx, b.workspace});
  }
}

Var instance_norm(const Var& x, Loc loc) {
  return x.tape().apply(std::make_shared<InstanceNorm>(), {x}, loc);
}
Var instance_norm(const Var& x, const Var& gamma, const Var& beta, Loc loc) {
  return x.tape().apply(std::make_shared<InstanceNorm>(), {x, gamma, beta}, loc);
}

}  // namespace patchcl
