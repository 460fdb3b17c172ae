#include "data/resize.h"

#include <algorithm>
#include <cmath>

namespace patchcl {

namespace {
// i reflected into [0, n), as often as it takes: the outermost stand there once.
int64_t reflected(int64_t i, int64_t n) {
  if (n == 1) return 0;
  i %= 2 * (n - 1);
  return i < n ? i : 2 * (n - 1) - i;
}
}  // namespace

std::vector<int64_t> range(int64_t begin, int64_t end) {
  std::vector<int64_t> index;
  for (int64_t i = begin; i < end; ++i) index.push_back(i);
  return index;
}

std::vector<int64_t> continued(std::vector<int64_t> index, int64_t length) {
  const int64_t n = int64_t(index.size());
  for (int64_t i = n; i < length; ++i) index.push_back(index[size_t(reflected(i, n))]);
  return index;
}

std::vector<int64_t> zoom_index(int64_t n_in, int64_t n_out) {
  std::vector<int64_t> index(n_out);
  const double step = n_out > 1 ? double(n_in - 1) / double(n_out - 1) : 0;
  for (int64_t o = 0; o < n_out; ++o)
    index[o] = std::min(int64_t(std::floor(double(o) * step + 0.5)), n_in - 1);  // EQ: 4.2 zoom order 0
  return index;
}

std::vector<Between> zoom_between(int64_t n_in, int64_t n_out) {
  std::vector<Between> all;
  const double step = n_out > 1 ? double(n_in - 1) / double(n_out - 1) : 0;
  for (int64_t o = 0; o < n_out; ++o) {
    const double at = double(o) * step;
    const int64_t from = std::min(int64_t(at), n_in - 1);
    all.push_back({from, float(at - double(from))});
  }
  return all;
}

}  // namespace patchcl
