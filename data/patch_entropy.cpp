#include "data/patch_entropy.h"

#include <algorithm>
#include <cmath>

#include "tensor/error.h"

namespace patchcl {

WindowGrid::WindowGrid(int64_t h, int64_t w, int64_t p, int64_t s) : height(h), width(w), side(p), stride(s) {
  if (p < 1 || s < 1) fail(ExitCode::usage, "patches", "side ", p, " and stride ", s, " must be at least 1");
  if (p > h || p > w)
    fail(ExitCode::usage, "patches", "a patch of ", p, "x", p, " does not fit into images of ", h, "x", w, "; lower patch_side");
  rows = (h - p + s - 1) / s + 1;
  cols = (w - p + s - 1) / s + 1;
}

int64_t WindowGrid::top(int64_t window) const { return std::min(window / cols * stride, height - side); }
int64_t WindowGrid::left(int64_t window) const { return std::min(window % cols * stride, width - side); }

float binary_entropy(float p) {
  if (!(p > 0 && p < 1)) return 0;
  return -(p * std::log2(p) + (1 - p) * std::log2(1 - p));  // EQ: 1.3 pixel entropy h
}

std::vector<float> confidence_map(const PatchImages& b, int64_t image, int64_t k) {
  std::vector<float> map(size_t(b.pixels()));
  const float* c = b.confidence + image * b.pixels() * b.classes + k;
  for (size_t m = 0; m < map.size(); ++m) map[m] = c[int64_t(m) * b.classes];
  return map;
}

std::vector<float> entropy_map(const PatchImages& b, int64_t image, int64_t k, EntropyOf of) {
  std::vector<float> map = confidence_map(b, image, k);
  const float* x = b.images + image * b.pixels() * b.channels;
  for (size_t m = 0; m < map.size(); ++m) {
    if (of == EntropyOf::attended_image) {
      float intensity = 0;
      for (int64_t c = 0; c < b.channels; ++c) intensity += x[int64_t(m) * b.channels + c] / float(b.channels);
      map[m] *= intensity;  // EQ: 1.3 attended image X' = X C
    }
    map[m] = binary_entropy(map[m]);
  }
  return map;
}

std::vector<float> window_means(const std::vector<float>& map, const WindowGrid& g) {
  // table(r,c) = sum of the map above and left of (r,c), exclusive.
  const int64_t columns = g.width + 1;
  std::vector<double> table(size_t((g.height + 1) * columns));
  for (int64_t r = 0; r < g.height; ++r) {
    double row = 0;
    for (int64_t c = 0; c < g.width; ++c) {
      row += double(map[size_t(r * g.width + c)]);
      table[size_t((r + 1) * columns + c + 1)] = table[size_t(r * columns + c + 1)] + row;
    }
  }
  const auto corner = [&](int64_t r, int64_t c) { return table[size_t(r * columns + c)]; };
  std::vector<float> means(size_t(g.count()));
  for (int64_t w = 0; w < g.count(); ++w) {
    const int64_t top = g.top(w), left = g.left(w), bottom = top + g.side, right = left + g.side;
    const double sum = corner(bottom, right) - corner(top, right) - corner(bottom, left) + corner(top, left);
    means[size_t(w)] = float(sum / double(g.side * g.side));  // EQ: 1.3 average patch entropy, mean confidence
  }
  return means;
}

}  // namespace patchcl
