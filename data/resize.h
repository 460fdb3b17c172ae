// Nearest-neighbour resizing as scipy.ndimage.zoom(order=0) does it, so that images and labels reach the
// network as they do in SSL4MIS (METHODS 4.2, 4.5). Corner samples map to corner samples:
//
//   source(o) = floor(o (n_in - 1) / (n_out - 1) + 1/2),     source(0) = 0 when n_out = 1.
//
// One deliberate difference: for a few sizes (32 -> 224, 512 -> 16) rounding puts scipy's last coordinate a
// hair beyond the image and scipy writes 0 there; here the last sample is always the last pixel.
#pragma once
#include <cstdint>
#include <vector>

namespace patchcl {

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

}  // namespace patchcl
