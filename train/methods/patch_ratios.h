// What patches of a label map show: the shares of the classes, or the mask itself (METHODS 3.2). Patches
// may reach over the border; only pixels of the image count.
#pragma once
#include <vector>

#include "layers/receptive_field.h"
#include "losses/affinity_contrast.h"
#include "train/methods/summed_area.h"

namespace patchcl {

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
  bool has_confidence() const { return !confidence_.empty(); }
  double confidence(const ReceptiveField& field, int64_t side, int64_t y, int64_t x) const;

 private:
  const uint8_t* label_;
  int64_t height_, width_, classes_;
  std::vector<SummedArea> shares_;      // of each class
  std::vector<SummedArea> confidence_;  // one, or none
};

}  // namespace patchcl
