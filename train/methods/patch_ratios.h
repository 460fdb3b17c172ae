// What patches of a label map show: the shares of the classes, or the mask itself (METHODS 3.2). Patches
// may reach over the border; only pixels of the image count.
#pragma once
#include <vector>

#include "layers/receptive_field.h"
#include "losses/affinity_contrast.h"

namespace patchcl {

// Sums of a map over any rectangle in four reads: S(y,x) holds the sum of all pixels above and left of it.
class SummedArea {
 public:
  // value(y, x) of an image of height x width.
  template <class F> SummedArea(int64_t height, int64_t width, F value)
      : height_(height), width_(width), sums_(size_t((height + 1) * (width + 1))) {
    for (int64_t y = 0; y < height; ++y)
      for (int64_t x = 0; x < width; ++x)
        at(y + 1, x + 1) = double(value(y, x)) + at(y, x + 1) + at(y + 1, x) - at(y, x);
  }
  struct Part {
    double sum = 0;
    int64_t pixels = 0;
    double mean() const { return pixels > 0 ? sum / double(pixels) : 0; }
  };
  // Of the square of that side at (top, left), as far as it lies in the image.
  Part square(int64_t top, int64_t left, int64_t side) const;

 private:
  double& at(int64_t y, int64_t x) { return sums_[size_t(y * (width_ + 1) + x)]; }
  double at(int64_t y, int64_t x) const { return sums_[size_t(y * (width_ + 1) + x)]; }
  int64_t height_, width_;
  std::vector<double> sums_;
};

// A regular grid on a map of height x width with at most `vectors` points; row i of it is row phase_y + i
// step.
struct PatchGrid {
  int64_t step, rows, columns, phase_y = 0, phase_x = 0;
  PatchGrid(int64_t height, int64_t width, int64_t vectors);
  int64_t size() const { return rows * columns; }
  int64_t y(int64_t i) const { return phase_y + i / columns * step; }
  int64_t x(int64_t i) const { return phase_x + i % columns * step; }
};

// Points of a mask along a side of a patch, for Affinity::dice: exact where the side is a divisor of it.
constexpr int64_t kMaskPoints = 9;
// Numbers that describe a patch: shares of the foreground or of all classes, or a mask.
int64_t description_size(Affinity affinity, int64_t classes);

// A label map as patches see it.
class LabelView {
 public:
  // label u8 (H,W) of K classes; confidence f32 (H,W), or null: all pixels are certain.
  LabelView(const uint8_t* label, const float* confidence, int64_t height, int64_t width, int64_t classes);
  // phi of the patch of that side around the centre of `field` at (y,x) of its map, added to phi times
  // `weight`.
  void describe(Affinity affinity, const ReceptiveField& field, int64_t side, int64_t y, int64_t x,
      double weight, float* phi) const;
  double confidence(const ReceptiveField& field, int64_t side, int64_t y, int64_t x) const;

 private:
  const uint8_t* label_;
  int64_t height_, width_, classes_;
  std::vector<SummedArea> shares_;      // of each class
  std::vector<SummedArea> confidence_;  // one, or none
};

}  // namespace patchcl
