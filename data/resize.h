// Resizing. Nearest neighbours as scipy.ndimage.zoom(order=0) does it, so that images and labels reach the
// network as they do in SSL4MIS (METHODS 4.2, 4.5). Corner samples map to corner samples:
//
//   source(o) = floor(o (n_in - 1) / (n_out - 1) + 1/2),     source(0) = 0 when n_out = 1.
//
// Bilinear (order 1) is the mean of the four pixels around o (n_in - 1) / (n_out - 1), weighted by how near
// they are; nothing is smoothed before a picture shrinks.
// One deliberate difference: for a few sizes (32 -> 224, 512 -> 16) rounding puts scipy's last coordinate a
// hair beyond the image and scipy writes 0 there; here the last sample is always the last pixel.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

namespace patchcl {

// [begin, end) as indices.
std::vector<int64_t> range(int64_t begin, int64_t end);
// `index` continued to `length` entries by reflection about its first and its last, as often as it takes.
std::vector<int64_t> continued(std::vector<int64_t> index, int64_t length);

// The source index of each of n_out samples.
std::vector<int64_t> zoom_index(int64_t n_in, int64_t n_out);

// in (H,W,C) -> out (out_h,out_w,C).
template <class T>
void zoom_nearest(const T* in, int64_t h, int64_t w, int64_t channels, T* out, int64_t out_h, int64_t out_w) {
  const std::vector<int64_t> rows = zoom_index(h, out_h), columns = zoom_index(w, out_w);
  for (const int64_t r : rows)
    for (const int64_t c : columns)
      for (int64_t k = 0; k < channels; ++k) *out++ = in[(r * w + c) * channels + k];
}

// Between which two source samples each of n_out lies: `share` of the way from `from` to the next.
struct Between {
  int64_t from;
  float share;
};
std::vector<Between> zoom_between(int64_t n_in, int64_t n_out);

// The mean of the four pixels around a place in (H,W,C), channel k, weighted by how near they are.
template <class T> float bilinear_at(
    const T* in, int64_t h, int64_t w, int64_t channels, const Between& y, const Between& x, int64_t k) {
  const int64_t below = std::min(y.from + 1, h - 1), right = std::min(x.from + 1, w - 1);
  const auto at = [&](int64_t row, int64_t column) { return float(in[(row * w + column) * channels + k]); };
  const float upper = at(y.from, x.from) + x.share * (at(y.from, right) - at(y.from, x.from));
  const float lower = at(below, x.from) + x.share * (at(below, right) - at(below, x.from));
  return upper + y.share * (lower - upper);  // EQ: 4.2 zoom order 1
}

// in (H,W,C) -> out (out_h,out_w,C). Class numbers are cut off to whole ones, as a cast of the mean.
template <class T> void zoom_bilinear(
    const T* in, int64_t h, int64_t w, int64_t channels, T* out, int64_t out_h, int64_t out_w) {
  const std::vector<Between> rows = zoom_between(h, out_h), columns = zoom_between(w, out_w);
  for (const Between& y : rows)
    for (const Between& x : columns)
      for (int64_t k = 0; k < channels; ++k) *out++ = T(bilinear_at(in, h, w, channels, y, x, k));
}

}  // namespace patchcl
