#include "tensor/tensor.h"

#include <cmath>
#include <cstring>

#include "tensor/arena.h"
#include "tensor/bfloat16.h"
#include "tensor/cuda.h"
#include "tensor/device.h"
#include "tensor/parallel.h"

namespace patchcl {

size_t dtype_size(DType d) {
  switch (d) {
    case DType::u8: return 1;
    case DType::bf16: return 2;
    case DType::f32:
    case DType::i32: return 4;
    default: return 8;
  }
}

const char* dtype_name(DType d) {
  static const char* const names[] = {"f32", "f64", "u8", "i32", "i64", "bf16"};
  return names[int(d)];
}

std::optional<int64_t> Shape::checked_numel() const {
  constexpr int64_t kAddresses = int64_t(1) << 47;
  int64_t n = 1;
  for (int i = 0; i < rank_; ++i)
    if (dims_[i] < 0 || __builtin_mul_overflow(n, dims_[i], &n) || n > kAddresses) return {};
  return n;
}

std::optional<uint64_t> Shape::checked_bytes(DType dtype) const {
  const auto n = checked_numel();
  return n ? std::optional(uint64_t(*n) * dtype_size(dtype)) : std::nullopt;
}

std::string Shape::str() const {
  std::ostringstream s;
  s << '(';
  for (int i = 0; i < rank_; ++i) s << (i ? "," : "") << dims_[i];
  s << ')';
  return s.str();
}

void Tensor::wrong_type(DType asked) const {
  fail(ExitCode::internal, "tensor", "asked for ", dtype_name(asked), " elements of a ", dtype_name(dtype_),
      " tensor ", shape_);
}

Tensor Tensor::reshape(const Shape& shape) const {
  require(shape.numel() == numel(), "reshape", "cannot see ", shape_, " as ", shape, ": ", numel(),
      " against ", shape.numel(), " elements");
  return window(0, shape);
}

Tensor Tensor::rows(int64_t begin, int64_t count) const {
  Shape s = shape_;
  require(s.rank() > 0 && begin >= 0 && count >= 0 && begin + count <= s[0], "rows", "[", begin, ",",
      begin + count, ") of ", shape_);
  s[0] = count;
  return window(s[0] ? begin * (numel() / shape_[0]) : 0, s);
}

Tensor Tensor::window(int64_t offset, const Shape& shape) const {
  require(
      offset >= 0 && offset + shape.numel() <= numel(), "window", shape, " at ", offset, " leaves ", shape_);
  return Tensor(
      owner_, static_cast<char*>(data_) + size_t(offset) * dtype_size(dtype_), shape, dtype_, device_);
}

double Tensor::item(int64_t i) const {
  require(i >= 0 && i < numel(), "item", "element ", i, " of ", shape_);
  alignas(8) char buffer[8];
  copy_bytes(buffer, Device::cpu, static_cast<char*>(data_) + size_t(i) * dtype_size(dtype_), device_,
      dtype_size(dtype_));
  switch (dtype_) {
    case DType::f32: return *reinterpret_cast<float*>(buffer);
    case DType::f64: return *reinterpret_cast<double*>(buffer);
    case DType::u8: return *reinterpret_cast<uint8_t*>(buffer);
    case DType::i32: return *reinterpret_cast<int32_t*>(buffer);
    case DType::i64: return double(*reinterpret_cast<int64_t*>(buffer));
    case DType::bf16: return double(float(*reinterpret_cast<bf16*>(buffer)));
  }
  return 0;
}

void copy(const Tensor& from, const Tensor& to) {
  require(from.dtype() == to.dtype() && from.numel() == to.numel(), "copy", dtype_name(from.dtype()),
      from.shape(), " to ", dtype_name(to.dtype()), to.shape());
  copy_bytes(to.raw(), to.device(), from.raw(), from.device(), from.bytes());
}

void convert(const Tensor& from, const Tensor& to) {
  if (from.dtype() == to.dtype()) return copy(from, to);
  require(from.numel() == to.numel(), "convert", "from ", from.shape(), " to ", to.shape());
  const auto on_host = [](const Tensor& t) { return Arena("conversion").empty(t.shape(), t.dtype()); };
  if (from.device() == Device::cuda) {
    const Tensor here = on_host(from);
    copy(from, here);
    return convert(here, to);
  }
  if (to.device() == Device::cuda) {
    const Tensor here = on_host(to);
    convert(from, here);
    return copy(here, to);
  }
  dispatch(from.dtype(), [&](auto a) {
    dispatch(to.dtype(),
        [&](auto b) { std::copy_n(from.data<decltype(a)>(), from.numel(), to.data<decltype(b)>()); });
  });
}

void fill_zero(const Tensor& t) { fill_bytes(t.raw(), t.device(), 0, t.bytes()); }

void fill(const Tensor& t, double value) {
  if (t.device() == Device::cuda) return cuda::set(t.raw(), t.dtype(), t.numel(), value);
  const int64_t n = t.numel();
  switch (t.dtype()) {
    case DType::f32: std::fill_n(t.data<float>(), n, float(value)); break;
    case DType::f64: std::fill_n(t.data<double>(), n, value); break;
    case DType::u8: std::fill_n(t.data<uint8_t>(), n, uint8_t(std::lround(value))); break;
    case DType::i32: std::fill_n(t.data<int32_t>(), n, int32_t(std::lround(value))); break;
    case DType::i64: std::fill_n(t.data<int64_t>(), n, int64_t(std::llround(value))); break;
    case DType::bf16: std::fill_n(t.data<bf16>(), n, bf16(float(value))); break;
  }
}

bool all_finite(const Tensor& t) {
  if (t.dtype() != DType::f32 && t.dtype() != DType::f64 && t.dtype() != DType::bf16) return true;
  require(t.device() == Device::cpu, "all_finite", "works on cpu tensors; copy to the host first");
  int wrong = 0;
  dispatch_data(t.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* v = t.data<T>();
    wrong = chunked_reduce<int>(t.numel(), [&](int64_t begin, int64_t end) {
      int any = 0;  // v - v is 0 for a finite v and NaN otherwise: no branch, and vectors of it
      for (int64_t i = begin; i < end; ++i) any |= v[i] - v[i] != Precise<T>(0);
      return any;
    });
  });
  return wrong == 0;
}

}  // namespace patchcl
