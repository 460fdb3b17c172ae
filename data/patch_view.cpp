#include "data/patch_view.h"

#include <algorithm>
#include <cmath>

namespace patchcl {

namespace {

struct Jitter {
  explicit Jitter(Rng& rng)
      : noise(rng.uniform() < 0.5 ? rng.uniform(0, 0.05) : 0), contrast(rng.uniform() < 0.5 ? rng.uniform(0.5, 1.5) : 1),
        brightness(rng.uniform() < 0.5 ? rng.uniform(0.5, 1.5) : 1) {}
  float operator()(float x, Rng& rng) const {
    double v = ((double(x) - 0.5) * contrast + 0.5) * brightness;
    if (noise > 0) v += noise * rng.normal();
    return float(std::clamp(v, 0., 1.));
  }
  double noise, contrast, brightness;
};

// Where an output pixel reads from on one axis: the crop, resized to `side` with nearest neighbours, maybe mirrored.
struct Axis {
  Axis(int64_t n, bool crop, bool mirrored, Rng& rng) : side(n), mirror(mirrored) {
    if (crop) {
      begin = int64_t(rng.uniform(0, 0.2) * double(n));
      extent = n - begin - int64_t(rng.uniform(0, 0.2) * double(n));
    } else {
      extent = n;
    }
  }
  int64_t operator()(int64_t i) const { return begin + (mirror ? side - 1 - i : i) * extent / side; }
  int64_t side, begin = 0, extent = 0;
  bool mirror;
};

}  // namespace

void strong_patch(const PatchImages& b, const Patch& p, int64_t side, bool attended, Rng& rng, float* out) {
  std::vector<float> content(size_t(side * side * b.channels));
  cut_patch(b, p, side, /*attended=*/false, content.data());
  const Jitter jitter(rng);
  for (float& x : content) x = jitter(x, rng);
  const bool flip = rng.uniform() < 0.7, crop = rng.uniform() < 0.5;
  const Axis row(side, crop, false, rng), col(side, crop, flip, rng);
  for (int64_t r = 0; r < side; ++r)
    for (int64_t c = 0; c < side; ++c) {
      const int64_t from = row(r) * side + col(c);
      const int64_t pixel = (p.image * b.height + p.top + row(r)) * b.width + p.left + col(c);
      const float confidence = attended ? b.confidence[pixel * b.classes + p.label] : 1;
      for (int64_t channel = 0; channel < b.channels; ++channel) *out++ = content[size_t(from * b.channels + channel)] * confidence;
    }
}

}  // namespace patchcl
