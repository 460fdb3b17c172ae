// Summed-area table: what windows of a map hold, at one cost for any side and stride.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

namespace patchcl {

// Sums of a map over any rectangle in four reads: S(y,x) holds the sum of all pixels above and left of it.
class SummedArea {
 public:
  // value(y, x) of an image of height x width.
  template <class F> SummedArea(int64_t height, int64_t width, F value)
      : height_(height), width_(width), sums_(size_t((height + 1) * (width + 1))) {
    for (int64_t y = 0; y < height; ++y) {
      double row = 0;
      for (int64_t x = 0; x < width; ++x) {
        row += double(value(y, x));
        at(y + 1, x + 1) = at(y, x + 1) + row;
      }
    }
  }
  struct Part {
    double sum = 0;
    int64_t pixels = 0;
    double mean() const { return pixels > 0 ? sum / double(pixels) : 0; }
  };
  // Of the square of that side at (top, left), as far as it lies in the image.
  Part square(int64_t top, int64_t left, int64_t side) const {
    const int64_t y0 = std::clamp<int64_t>(top, 0, height_), y1 = std::clamp<int64_t>(top + side, 0, height_);
    const int64_t x0 = std::clamp<int64_t>(left, 0, width_), x1 = std::clamp<int64_t>(left + side, 0, width_);
    return {at(y1, x1) - at(y0, x1) - at(y1, x0) + at(y0, x0), (y1 - y0) * (x1 - x0)};
  }

 private:
  double& at(int64_t y, int64_t x) { return sums_[size_t(y * (width_ + 1) + x)]; }
  double at(int64_t y, int64_t x) const { return sums_[size_t(y * (width_ + 1) + x)]; }
  int64_t height_, width_;
  std::vector<double> sums_;
};

}  // namespace patchcl
