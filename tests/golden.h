// Numbers that Python and C++ both derive from a name, and comparison with golden files
// (tests/golden/make_*.py).
#pragma once
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "layers/params.h"
#include "tensor/device.h"
#include "tensor/io.h"
#include "train/setup/model_file.h"

namespace patchcl::golden {

// n numbers in [0,1): splitmix64 of fnv1a64(name) + i, as unit() of make_unet.py.
inline std::vector<double> unit(const std::string& name, int64_t n) {
  uint64_t key = 0xCBF29CE484222325ull;
  for (const char c : name) key = (key ^ uint8_t(c)) * 0x100000001B3ull;
  std::vector<double> u(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) {
    uint64_t z = (uint64_t(i) + key) * 0x9E3779B97F4A7C15ull;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    z ^= z >> 31;
    u[size_t(i)] = double(z >> 11) * 0x1p-53;
  }
  return u;
}

// values as a tensor of any type.
inline Tensor tensor(const Arena& arena, const Shape& shape, DType dtype, const std::vector<double>& values) {
  const Tensor t = arena.empty(shape, dtype);
  const auto put = [&](auto* p) {
    for (size_t i = 0; i < values.size(); ++i) p[i] = std::remove_pointer_t<decltype(p)>(values[i]);
  };
  if (dtype == DType::f32) put(t.data<float>());
  else if (dtype == DType::f64) put(t.data<double>());
  else put(t.data<uint8_t>());
  return t;
}

// One number per block of side x side pixels of images (N,H,W).
inline std::vector<double> blocks(const std::string& name, const Shape& s, int64_t side) {
  const int64_t rows = s[1] / side, columns = s[2] / side;
  const std::vector<double> u = unit(name, s[0] * rows * columns);
  std::vector<double> v;
  for (int64_t n = 0; n < s[0]; ++n)
    for (int64_t y = 0; y < s[1]; ++y)
      for (int64_t x = 0; x < s[2]; ++x) v.push_back(u[size_t((n * rows + y / side) * columns + x / side)]);
  return v;
}

// (N,H,W,1), coarse blocks and some noise, in [0,1].
inline Tensor images(const Arena& arena, const Shape& shape, DType dtype, const std::string& name) {
  std::vector<double> v = blocks(name, shape, 1);
  const std::vector<double> coarse = blocks(name + ".coarse", shape, 8);
  for (size_t i = 0; i < v.size(); ++i) v[i] = float(0.75 * coarse[i] + 0.25 * v[i]);
  return tensor(arena, shape, dtype, v);
}

inline Tensor labels(const Arena& arena, const Shape& shape, int classes, const std::string& name) {
  std::vector<double> v = blocks(name, shape, 4);
  for (double& e : v) e = std::floor(classes * e);
  return tensor(arena, shape, DType::u8, v);
}

inline Shape torch_shape(const ParamInfo& p) {
  if (p.kind == ParamKind::conv_weight) return {p.shape[3], p.shape[2], p.shape[0], p.shape[1]};
  if (p.kind == ParamKind::conv_transpose_weight) return {p.shape[2], p.shape[3], p.shape[0], p.shape[1]};
  if (p.kind == ParamKind::linear_weight) return {p.shape[1], p.shape[0]};
  return p.shape;
}

// Weights and running statistics by numbers() of make_unet.py.
inline void fill(ParamStore& store, const Arena& arena, const std::string& prefix = "") {
  TensorFile file;
  const auto add = [&](const ParamInfo& p) {
    const Shape shape = torch_shape(p);
    const bool positive =
        p.name.ends_with("running_var") || (p.name.ends_with("weight") && shape.rank() == 1);
    const double fan_in = double(shape.numel()) / double(shape[0]);
    std::vector<double> v = unit(prefix + p.name, shape.numel());
    for (double& u : v) {
      const double vector = positive ? 0.5 + u : 0.4 * u - 0.2;
      u = float(shape.rank() > 1 ? (2 * u - 1) * std::sqrt(6 / fan_in) : vector);
    }
    file.tensors[p.name] = tensor(arena, shape, DType::f64, v);
  };
  for (const ParamInfo& p : store.layout().parameters()) add(p);
  for (const ParamInfo& p : store.layout().buffers()) add(p);
  get_weights(file, store, "formula");
}

// Gradients by name in PyTorch's layouts.
inline std::map<std::string, Tensor> torch_gradients(const ParamStore& store, const Arena& arena) {
  ParamStore as_values(store.layout(), arena, store.dtype(), false);
  copy(store.grads(), as_values.values());
  TensorFile file;
  put_weights(file, as_values, 0);
  for (const ParamInfo& b : store.layout().buffers()) file.tensors.erase(b.name);
  std::erase_if(file.tensors, [](const auto& t) { return t.first.ends_with("num_batches_tracked"); });
  return file.tensors;
}

inline std::vector<double> values(const Tensor& t) {
  std::vector<double> v;
  for (int64_t i = 0; i < t.numel(); ++i) v.push_back(t.item(i));
  return v;
}

inline double norm(const std::vector<double>& v) {
  double s = 0;
  for (double e : v) s += e * e;
  return std::sqrt(s);
}

// |got - want| <= tolerance * |want|, Euclidean norms of the whole tensor; `floor` stands in for a smaller
// |want|.
inline void expect_close(
    const std::string& name, const Tensor& got, const Tensor& want, double tolerance, double floor = 0) {
  ASSERT_EQ(got.numel(), want.numel()) << name;
  const std::vector<double> a = values(got), b = values(want);
  std::vector<double> difference(a.size());
  for (size_t i = 0; i < a.size(); ++i) difference[i] = a[i] - b[i];
  const double error = norm(difference), limit = tolerance * std::max(norm(b), floor);
  EXPECT_TRUE(error <= limit) << name << " " << want.shape() << ": error " << error << ", limit " << limit
                              << ", norm " << norm(b);
}

// A tensor's norm and its products with four random directions, (5).
inline Tensor summary(const Arena& arena, const std::string& name, const Tensor& t) {
  const std::vector<double> v = values(t);
  const Tensor out = arena.zeros({5}, DType::f64);
  double* s = out.data<double>();
  s[0] = norm(v);
  for (int i = 0; i < 4; ++i) {
    const std::vector<double> u = unit(name + ".direction" + std::to_string(i), int64_t(v.size()));
    for (size_t k = 0; k < v.size(); ++k) s[i + 1] += v[k] * (u[k] - 0.5);
  }
  return out;
}

// Which code computes: precision, kernels, fused or separate batch norm, activation and dropout.
struct Setting {
  DType dtype;
  Kernels kernels;
  bool fused;
  // Relative to the norm of each tensor; in f32 a gradient below 1/100 of the whole counts as that large,
  // since it is what is left of larger ones.
  double tolerance() const { return dtype == DType::f64 ? 1e-9 : 1e-4; }
  double floor() const { return dtype == DType::f64 ? 0 : 1e-2; }
};
inline auto settings() {
  return testing::Values(Setting{DType::f64, Kernels::fast, true}, Setting{DType::f64, Kernels::naive, false},
      Setting{DType::f32, Kernels::fast, true}, Setting{DType::f32, Kernels::direct, true},
      Setting{DType::f32, Kernels::naive, false});
}
inline std::string setting_name(const testing::TestParamInfo<Setting>& info) {
  const Setting& s = info.param;
  return std::string(dtype_name(s.dtype)) + "_" + kernel_names()[size_t(s.kernels)] +
         (s.fused ? "_fused" : "_separate");
}

}  // namespace patchcl::golden
