// Tensor: a typed, shaped window on memory that an Arena owns.
//
// Value semantics: copying a Tensor copies the handle, both see the same numbers. Always contiguous,
// row-major, last axis fastest; images are (N,H,W,C). A Tensor never allocates: ask an Arena
// (tensor/arena.h). What is left out: strides, broadcasting, views of inner axes. An op that needs those says
// so in its own kernel.
#pragma once
#include <memory>

#include "tensor/shape.h"

namespace patchcl {

class Tensor {
 public:
  Tensor() = default;
  // `owner` keeps the memory alive; it may be null for memory that outlives every tensor on it.
  Tensor(std::shared_ptr<void> owner, void* data, const Shape& shape, DType dtype, Device device)
      : owner_(std::move(owner)), data_(data), shape_(shape), dtype_(dtype), device_(device) {}

  const Shape& shape() const { return shape_; }
  DType dtype() const { return dtype_; }
  Device device() const { return device_; }
  int64_t numel() const { return shape_.numel(); }
  size_t bytes() const { return size_t(numel()) * dtype_size(dtype_); }
  explicit operator bool() const { return data_ != nullptr; }

  void* raw() const { return data_; }
  // The numbers. Throws when T is not the tensor's type.
  template <class T> T* data() const {
    if (DTypeOf<T>::value != dtype_) wrong_type(DTypeOf<T>::value);
    return static_cast<T*>(data_);
  }

  // The same memory under another shape of equal size.
  Tensor reshape(const Shape& shape) const;
  // Rows [begin, begin + count) of the first axis: the same memory, no copy.
  Tensor rows(int64_t begin, int64_t count) const;
  // A window of `shape` starting `offset` elements in (a named slice of a flat buffer).
  Tensor window(int64_t offset, const Shape& shape) const;

  // Single element read back to the host from any device (synchronises): for logs and tests.
  double item(int64_t i = 0) const;

 private:
  [[noreturn]] void wrong_type(DType asked) const;
  std::shared_ptr<void> owner_;
  void* data_ = nullptr;
  Shape shape_;
  DType dtype_ = DType::f32;
  Device device_ = Device::cpu;
};

// Both on the same or on different devices; shapes and types must agree.
void copy(const Tensor& from, const Tensor& to);
// As copy, also between f32 and f64: in the host's memory, wherever the two lie.
void convert(const Tensor& from, const Tensor& to);
void fill_zero(const Tensor& t);
// Fills floating tensors with `value`, integer ones (on the CPU) with its rounded value.
void fill(const Tensor& t, double value);
// True when every element is finite. Integer tensors always are.
bool all_finite(const Tensor& t);

// Run fn with a value of the floating type that `d` stands for:
//   dispatch(y.dtype(), [&](auto zero) { using T = decltype(zero); ... });
template <class F> void dispatch(DType d, F&& fn) {
  switch (d) {
    case DType::f32: fn(float{}); return;
    case DType::f64: fn(double{}); return;
    default: fail(ExitCode::internal, "dispatch", "wants f32 or f64, got ", dtype_name(d));
  }
}

}  // namespace patchcl
