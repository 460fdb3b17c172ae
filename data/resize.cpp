#include "data/resize.h"

#include <algorithm>
#include <cmath>

namespace patchcl {

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
