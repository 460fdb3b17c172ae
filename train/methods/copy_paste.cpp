#include "train/methods/copy_paste.h"

#include <cstring>

#include "tensor/parallel.h"

namespace patchcl {

Box random_box(int64_t height, int64_t width, Rng& rng) {
  const int64_t h = height * 2 / 3, w = width * 2 / 3;
  return {rng.below(height - h + 1), rng.below(width - w + 1), h, w};
}

namespace {

// Both (n,H,W,...) of one type.
Tensor paste(const Tensor& base, const Tensor& patch, const Box& box) {
  require(base.shape() == patch.shape(), "copy-paste", "base ", base.shape(), " and patch ", patch.shape());
  const Shape& s = base.shape();
  const Tensor mixed = Arena("copy-paste").empty(s, base.dtype());
  copy(base, mixed);
  const size_t pixel = base.bytes() / size_t(s[0] * s[1] * s[2]), line = size_t(box.width) * pixel;
  parallel_for(s[0] * box.height, [&](int64_t i) {
    const size_t at = size_t(((i / box.height) * s[1] + box.top + i % box.height) * s[2] + box.left) * pixel;
    std::memcpy(static_cast<char*>(mixed.raw()) + at, static_cast<char*>(patch.raw()) + at, line);
  });
  return mixed;
}

}  // namespace

Labeled paste(const Labeled& base, const Labeled& patch, const Box& box) {
  return {paste(base.images, patch.images, box), paste(base.labels, patch.labels, box),
      paste(base.weight, patch.weight, box)};
}

}  // namespace patchcl
