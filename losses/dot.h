// Inner product of two rows, and the sum of one, in sixteen running sums: a fixed order of additions that the
// compiler can vectorise without permission to reorder them.
#pragma once
#include <cstdint>

namespace patchcl {

// value(0) + .. + value(n-1)
template <class T, class Value> T sum_in_lanes(int64_t n, Value value) {
  constexpr int64_t kLanes = 16;
  T sums[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int64_t lane = 0; lane < kLanes; ++lane) sums[lane] += value(i + lane);
  T total = 0;
  for (T s : sums) total += s;
  for (; i < n; ++i) total += value(i);
  return total;
}

template <class T> T dot(const T* a, const T* b, int64_t n) {
  return sum_in_lanes<T>(n, [&](int64_t i) { return a[i] * b[i]; });
}

// y += a * x
template <class T> void add_scaled(T a, const T* x, T* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] += a * x[i];
}

}  // namespace patchcl
