#include "train/methods/patch_ratios.h"

namespace patchcl {

PatchGrid::PatchGrid(int64_t height, int64_t width, int64_t vectors) : step(1) {
  while (height / step > 1 && (height / step) * (width / step) > vectors) ++step;
  rows = height / step;
  columns = width / step;
}

int64_t description_size(Affinity affinity, int64_t classes) {
  if (affinity == Affinity::ratio) return classes - 1;
  return affinity == Affinity::variation ? classes : (classes - 1) * kMaskPoints * kMaskPoints;
}

LabelView::LabelView(
    const uint8_t* label, const float* confidence, int64_t height, int64_t width, int64_t classes)
    : label_(label), height_(height), width_(width), classes_(classes) {
  for (int64_t c = 0; c < classes; ++c)
    shares_.emplace_back(height, width, [&](int64_t y, int64_t x) { return label[y * width + x] == c; });
  if (confidence)
    confidence_.emplace_back(height, width, [&](int64_t y, int64_t x) { return confidence[y * width + x]; });
}

namespace {
// Where a square of that side around the centre of the field begins.
int64_t begin(const ReceptiveField& field, int64_t side, int64_t i) {
  return ReceptiveField{side, field.jump}.begin(i);
}
}  // namespace

void LabelView::describe(Affinity affinity, const ReceptiveField& field, int64_t side, int64_t y, int64_t x,
    double weight, float* phi) const {
  const int64_t top = begin(field, side, y), left = begin(field, side, x);
  if (affinity != Affinity::dice) {
    const int64_t first = affinity == Affinity::ratio ? 1 : 0;
    for (int64_t c = first; c < classes_; ++c)
      phi[c - first] += float(weight * shares_[size_t(c)].square(top, left, side).mean());  // EQ: 3.2 phi
    return;
  }
  for (int64_t i = 0; i < kMaskPoints * kMaskPoints; ++i) {
    const int64_t row = top + (2 * (i / kMaskPoints) + 1) * side / (2 * kMaskPoints),
                  column = left + (2 * (i % kMaskPoints) + 1) * side / (2 * kMaskPoints);
    if (row < 0 || row >= height_ || column < 0 || column >= width_) continue;
    const int64_t c = label_[row * width_ + column];
    if (c > 0 && c < classes_) phi[(c - 1) * kMaskPoints * kMaskPoints + i] += float(weight);
  }
}

double LabelView::confidence(const ReceptiveField& field, int64_t side, int64_t y, int64_t x) const {
  if (confidence_.empty()) return 1;
  return confidence_[0].square(begin(field, side, y), begin(field, side, x), side).mean();
}

}  // namespace patchcl
