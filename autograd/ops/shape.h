// Rearranging without arithmetic.
//
//   reshape(x, shape)             the same numbers under another shape; no copy, forward or backward
//   concat({x1..xn}, axis)        y = x1..xn side by side along `axis`; all other axes agree
//   slice(x, axis, begin, count)  y = x[.., begin : begin + count, ..]; dx is dy there and 0 elsewhere
// A negative axis counts from the end. Backward of concat is slice and the reverse, so they share one loop: a
// tensor is (outer, extent * inner) numbers, where outer and inner are the products of the axes before and
// after `axis`.
#pragma once
#include "autograd/tape.h"

namespace patchcl {

// Rows of equal width inside a tensor: row r starts at element offset + r * stride.
struct RowWindow {
  Tensor t;
  int64_t offset, stride;
};
// Copies (or, accumulating, adds) `count` rows of `width` numbers; each device has one.
using CopyRows = void (*)(
    int64_t count, int64_t width, const RowWindow& from, const RowWindow& to, bool accumulate);

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
  void backward_with(CopyRows copy_rows, const Backward& p) const;
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
  void forward_with(CopyRows copy_rows, const Forward& p) const;
  void backward_with(CopyRows copy_rows, const Backward& p) const;
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
  void forward_with(CopyRows copy_rows, const Forward& p) const;
  void backward_with(CopyRows copy_rows, const Backward& p) const;
  int axis_;
  int64_t begin_, count_;
};

Var reshape(const Var& x, const Shape& shape, Loc loc = Loc::current());
Var concat(const std::vector<Var>& x, int axis, Loc loc = Loc::current());
Var slice(const Var& x, int axis, int64_t begin, int64_t count, Loc loc = Loc::current());

}  // namespace patchcl
