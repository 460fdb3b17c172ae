// The walk of a 3x3 convolution on the tiles of AMX (tensor/amx.h) over some rows of an image, for conv2d in
// bf16 and in bytes: which pixels are a tile, and where its rows of x begin. conv2d_tiles_kernels.h says why
// three neighbouring pixels of a copied row are one line of A.
#pragma once
#include <algorithm>

#include "autograd/ops/conv2d_kernels.h"
#include "tensor/amx.h"

namespace patchcl::amx {

constexpr int64_t kOutputs = 32;  // channels whose sums a task keeps at a time: two tiles beside each other
constexpr int64_t kColumn = 4;    // tiles below each other, at most

// Rows of y for a task: its rows of x, of `cells` a pixel, fill a part of the second-level cache.
inline int64_t rows_of_task(const Conv2dSizes& s, int64_t cells) {
  return std::clamp<int64_t>(32768 / ((s.w + 2) * cells), 4, 32);
}

// Rows [begin, end) of an image of y, from the copied rows begin - 1 to end of x: w + 2 pixels of `cells`
// each, zeros or what stands for them on either side.
struct Band {
  int64_t begin, end;
  const uint32_t* x;
};

template <class Product> class TileBand {
 public:
  // `columns`: of a row of the weight.
  TileBand(const Conv2dSizes& s, int64_t cells, int64_t columns, const Band& band)
      : w_(s.w), cells_(cells), band_(band), side_(std::min(kSide, s.w)) {
    const int64_t line = 3 * cells, row = copied_row();
    grid_ = {side_, tile_side(line), 3, line, row, cells, one_a_row() ? row : side_ * cells, columns,
        kOutputs, side_ * kOutputs, false};
    set_shape(grid_.rows, grid_.cells);
  }
  int64_t copied_row() const { return (w_ + 2) * cells_; }

  // For `count` channels of y, 32 or 16, from the first column of `weight` on: finish(y, x, pixels, sums) for
  // pixels side by side, with sums of kOutputs a pixel.
  template <class F> void each_tile(const uint32_t* weight, int64_t count, F&& finish) const {
    if (one_a_row()) return strip(weight, count, {band_.begin, 0, band_.end - band_.begin, 0}, finish);
    const int64_t whole = w_ / side_, rest = w_ % side_;
    for (int64_t y = band_.begin; y < band_.end; ++y) {
      strip(weight, count, {y, 0, whole, 0}, finish);
      if (rest) strip(weight, count, {y, w_ - side_, 1, side_ - rest}, finish);
    }
  }

 private:
  using Sum = typename Product::Sum;
  // `count` tiles from pixel (y, x) on, side by side along a row; or below each other, where a tile is a row.
  // Of the first pixels of a tile, which another has written, `skip` are left alone.
  struct Tiles {
    int64_t y, x, count, skip;
  };

  bool one_a_row() const { return side_ == w_; }

  template <class F>
  void strip(const uint32_t* weight, int64_t channels, const Tiles& at, const F& finish) const {
    const uint32_t* x = band_.x + (at.y - band_.begin) * copied_row() + at.x * cells_;
    const int64_t most = channels == kOutputs ? 2 : 4;
    alignas(64) Sum sums[kColumn * kSide * kOutputs];
    for (int64_t t = 0; t < at.count; t += most, x += most * grid_.a_step) {
      const int64_t count = std::min(most, at.count - t);
      if (channels == kOutputs) multiply_column<2, 2, Product>(grid_, count, x, weight, sums);
      else multiply_column<4, 1, Product>(grid_, count, x, weight, sums);
      for (int64_t i = 0; i < count; ++i) {
        const int64_t y = at.y + (one_a_row() ? t + i : 0),
                      first = at.x + (one_a_row() ? 0 : (t + i) * side_);
        finish(y, first + at.skip, side_ - at.skip, sums + i * grid_.c_step + at.skip * kOutputs);
      }
    }
  }

  int64_t w_, cells_;
  Band band_;
  int64_t side_;
  TileGrid grid_;
};

}  // namespace patchcl::amx
