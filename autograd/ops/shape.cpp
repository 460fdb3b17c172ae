#include "autograd/ops/shape.h"

#include <algorithm>

#include "tensor/parallel.h"

namespace patchcl {

namespace {

// A tensor as rows cut at `axis`: row r holds shape[axis] * inner consecutive numbers.
struct AxisView {
  int64_t outer, width;  // rows, numbers per row
  int64_t inner;         // numbers per step along the axis
};

AxisView axis_view(const Shape& s, int axis) {
  if (axis < 0) axis += s.rank();
  AxisView v{1, 1, 1};
  for (int i = 0; i < axis; ++i) v.outer *= s[i];
  for (int i = axis + 1; i < s.rank(); ++i) v.inner *= s[i];
  v.width = s[axis] * v.inner;
  return v;
}

// One loop is both the reference and the fast kernel.
void copy_rows_cpu(
    int64_t count, int64_t width, const RowWindow& from, const RowWindow& to, bool accumulate) {
  if (width == 0) return;
  // Fixed pieces of about kChunk numbers: many short rows together, long rows cut.
  const int64_t cut = std::min(width, kChunk), pieces = chunks(width, cut);
  dispatch(to.t.dtype(), [&](auto zero) {
    using T = decltype(zero);
    parallel_chunks(
        count * pieces,
        [&](int64_t begin, int64_t end) {
          for (int64_t p = begin; p < end; ++p) {
            const int64_t r = p / pieces, first = p % pieces * cut, last = std::min(width, first + cut);
            const T* f = from.t.data<T>() + from.offset + r * from.stride;
            T* t = to.t.data<T>() + to.offset + r * to.stride;
            for (int64_t i = first; i < last; ++i) store(t[i], f[i], accumulate);
          }
        },
        std::max<int64_t>(1, kChunk / cut));
  });
}

bool valid_axis(const Shape& s, int axis) { return axis < s.rank() && axis >= -s.rank(); }

}  // namespace

Shape Reshape::shape(const Shapes& x) const {
  require(x.size() == 1 && x[0].numel() == to_.numel(), name(), "cannot see ", x.at(0), " as ", to_,
      ": the numbers of elements differ");
  return to_;
}

// The tape shares memory instead of calling these, except when dx already holds another consumer's gradient.
void Reshape::forward_cpu(const Forward& p) const { copy(p.x[0].reshape(to_), p.y); }
void Reshape::backward_cpu(const Backward& p) const { backward_with(copy_rows_cpu, p); }

void Reshape::backward_with(CopyRows copy_rows, const Backward& p) const {
  if (p.dx[0]) copy_rows(1, p.dy.numel(), {p.dy, 0, 0}, {p.dx[0].t, 0, 0}, p.dx[0].accumulate);
}

Shape Concat::shape(const Shapes& x) const {
  require(!x.empty() && valid_axis(x[0], axis_), name(), "axis ", axis_, " of ", x.empty() ? Shape() : x[0]);
  Shape y = x[0];
  for (size_t i = 1; i < x.size(); ++i) {
    Shape same = x[i];
    require(same.rank() == y.rank(), name(), "input ", i, " is ", x[i], ", input 0 is ", x[0]);
    same[axis_] = x[0][axis_];
    require(same == x[0], name(), "input ", i, " is ", x[i], ", input 0 is ", x[0], "; only axis ", axis_,
        " may differ");
    y[axis_] += x[i][axis_];
  }
  return y;
}

void Concat::forward_cpu(const Forward& p) const { forward_with(copy_rows_cpu, p); }
void Concat::backward_cpu(const Backward& p) const { backward_with(copy_rows_cpu, p); }

void Concat::forward_with(CopyRows copy_rows, const Forward& p) const {
  RowWindow y{p.y, 0, axis_view(p.y.shape(), axis_).width};
  for (const Tensor& x : p.x) {
    const AxisView v = axis_view(x.shape(), axis_);
    copy_rows(v.outer, v.width, {x, 0, v.width}, y, false);
    y.offset += v.width;
  }
}

void Concat::backward_with(CopyRows copy_rows, const Backward& p) const {
  RowWindow dy{p.dy, 0, axis_view(p.dy.shape(), axis_).width};
  for (size_t i = 0; i < p.x.size(); ++i) {
    const AxisView v = axis_view(p.x[i].shape(), axis_);
    if (const GradOut& out = p.dx[i]) copy_rows(v.outer, v.width, dy, {out.t, 0, v.width}, out.accumulate);
    dy.offset += v.width;
  }
}

Shape SliceOp::shape(const Shapes& x) const {
  require(x.size() == 1 && valid_axis(x[0], axis_), name(), "axis ", axis_, " of ", x.at(0));
  require(begin_ >= 0 && count_ >= 0 && begin_ + count_ <= x[0][axis_], name(), "[", begin_, ",",
      begin_ + count_, ") leaves axis ", axis_, " of ", x[0]);
  Shape y = x[0];
  y[axis_] = count_;
  return y;
}

void SliceOp::forward_cpu(const Forward& p) const { forward_with(copy_rows_cpu, p); }
void SliceOp::backward_cpu(const Backward& p) const { backward_with(copy_rows_cpu, p); }

void SliceOp::forward_with(CopyRows copy_rows, const Forward& p) const {
  const AxisView v = axis_view(p.x[0].shape(), axis_);
  const int64_t width = count_ * v.inner;
  copy_rows(v.outer, width, {p.x[0], begin_ * v.inner, v.width}, {p.y, 0, width}, false);
}

void SliceOp::backward_with(CopyRows copy_rows, const Backward& p) const {
  const GradOut& out = p.dx[0];
  if (!out) return;
  if (!out.accumulate) fill_zero(out.t);
  const AxisView v = axis_view(out.t.shape(), axis_);
  const int64_t width = count_ * v.inner;
  copy_rows(v.outer, width, {p.dy, 0, width}, {out.t, begin_ * v.inner, v.width}, out.accumulate);
}

Var reshape(const Var& x, const Shape& shape, Loc loc) {
  return x.tape().apply(std::make_shared<Reshape>(shape), {x}, loc);
}
Var concat(const std::vector<Var>& x, int axis, Loc loc) {
  require(!x.empty(), "concat", "of no tensors");
  return x[0].tape().apply(std::make_shared<Concat>(axis), x, loc);
}
Var slice(const Var& x, int axis, int64_t begin, int64_t count, Loc loc) {
  return x.tape().apply(std::make_shared<SliceOp>(axis, begin, count), {x}, loc);
}

}  // namespace patchcl
