// Rearranging without arithmetic.
//
//   reshape(x, shape)             the same numbers under another shape; no copy, forward or backward
//   concat({x1..xn}, axis)        y = x1..xn side by side along `axis`; all other axes agree
//   slice(x, axis, begin, count)  y = x[.., begin : begin + count, ..]; dx is dy there and 0 elsewhere
// A negative axis counts from the end. Backward of concat is slice and the reverse, so they share one loop: a tensor is
// (outer, extent * inner) numbers, where outer and inner are the products of the axes before and after `axis`.
#pragma once
#include "autograd/tape.h"

namespace patchcl {

class Reshape final : public Op {
 public:
  explicit Reshape(const Shape& to) : to_(to) {}
  const char* name() const override { return "reshape"; }
  Saves saves() const override { return {}; }
  bool is_view() const override { return true; }
  Shape shape(const Shapes& x) const override;

 protected:
  OP_CPU
  OP_CUDA

 private:
  Shape to_;
};

class Concat final : public Op {
 public:
  explicit Concat(int axis) : axis_(axis) {}
  const char* name() const override { return "concat"; }
  Saves saves() const override { return {}; }
  Shape shape(const Shapes& x) const override;

 protected:
  OP_CPU
  OP_CUDA

 private:
  int axis_;
};

class SliceOp final : public Op {
 public:
  SliceOp(int axis, int64_t begin, int64_t count) : axis_(axis), begin_(begin), count_(count) {}
  const char* name() const override { return "slice"; }
  Saves saves() const override { return {}; }
  Shape shape(const Shapes& x) const override;

 protected:
  OP_CPU
  OP_CUDA

 private:
  int axis_;
  int64_t begin_, count_;
};

// A tensor as rows cut at `axis`: row r holds shape[axis] * inner consecutive numbers.
struct AxisView {
  int64_t outer, width;  // rows, numbers per row
  int64_t inner;         // numbers per step along the axis
};
AxisView axis_view(const Shape& s, int axis);

Var reshape(const Var& x, const Shape& shape, Loc loc = Loc::current());
Var concat(const std::vector<Var>& x, int axis, Loc loc = Loc::current());
Var slice(const Var& x, int axis, int64_t begin, int64_t count, Loc loc = Loc::current());

}  // namespace patchcl
