// Shape and DType: what a tensor is, without its memory. Value types, no heap, usable in kernels.
#pragma once
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>

#include "tensor/error.h"

namespace patchcl {

// f32 trains, f64 audits; u8 holds labels, masks and argmax, i32 and i64 indices and RNG state; bf16 holds
// the maps of a network (tensor/bf16.h).
enum class DType : uint8_t { f32, f64, u8, i32, i64, bf16 };
enum class Device : uint8_t { cpu, cuda };

template <class T> struct DTypeOf;
template <> struct DTypeOf<float> { static constexpr DType value = DType::f32; };
template <> struct DTypeOf<double> { static constexpr DType value = DType::f64; };
template <> struct DTypeOf<uint8_t> { static constexpr DType value = DType::u8; };
template <> struct DTypeOf<int32_t> { static constexpr DType value = DType::i32; };
template <> struct DTypeOf<int64_t> { static constexpr DType value = DType::i64; };

size_t dtype_size(DType d);
const char* dtype_name(DType d);

// Up to five axes. Images are (N,H,W,C), packed convolution weights (KH,KW,Cin,Cout), a scalar is (1).
class Shape {
 public:
  static constexpr int kMaxRank = 5;
  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) : Shape(std::span(dims.begin(), dims.size())) {}
  explicit Shape(std::span<const int64_t> dims) {
    if (dims.size() > kMaxRank) fail(ExitCode::internal, "shape", "at most 5 axes, got ", dims.size());
    for (int64_t d : dims) dims_[rank_++] = d;
  }
  int rank() const { return rank_; }
  int64_t operator[](int i) const { return dims_[i < 0 ? rank_ + i : i]; }
  int64_t& operator[](int i) { return dims_[i < 0 ? rank_ + i : i]; }
  int64_t numel() const {
    int64_t n = 1;
    for (int i = 0; i < rank_; ++i) n *= dims_[i];
    return n;
  }
  // numel() and numel() * dtype_size, nothing when an axis is negative or there are more than
  // 2^47 elements: what sizes from outside (files, options) go through before memory is asked for.
  std::optional<int64_t> checked_numel() const;
  std::optional<uint64_t> checked_bytes(DType dtype) const;
  // Product of all axes but the last: pixels of an NHWC image, rows of a matrix.
  int64_t rows() const {
    int64_t n = 1;
    for (int i = 0; i + 1 < rank_; ++i) n *= dims_[i];
    return n;
  }
  bool operator==(const Shape& o) const {
    if (rank_ != o.rank_) return false;
    for (int i = 0; i < rank_; ++i)
      if (dims_[i] != o.dims_[i]) return false;
    return true;
  }
  // Coordinates of element i, last axis fastest: Shape{2,3}.position(4) is (1,1).
  Shape position(int64_t i) const {
    Shape p = *this;
    for (int a = rank_ - 1; a >= 0; --a) {
      p.dims_[a] = i % dims_[a];
      i /= dims_[a];
    }
    return p;
  }
  std::string str() const;  // "(1,64,64,17)"

 private:
  int rank_ = 0;
  int64_t dims_[kMaxRank] = {};
};

inline std::ostream& operator<<(std::ostream& s, const Shape& shape) { return s << shape.str(); }

}  // namespace patchcl
