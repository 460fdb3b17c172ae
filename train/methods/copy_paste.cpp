#include "train/methods/copy_paste.h"

#include <cstring>

#include "tensor/parallel.h"

namespace patchcl {

LabeledImages labeled_images(int64_t n, int64_t height, int64_t width, int64_t channels) {
  const Arena host("copy-paste");
  return {host.empty({n, height, width, channels}, DType::f32), host.empty({n, height, width}, DType::u8),
      host.empty({n, height, width}, DType::f32)};
}

LabeledImages fully_trusted(const Tensor& images, const Tensor& labels) {
  const Tensor weight = Arena("copy-paste").empty(labels.shape(), DType::f32);
  fill(weight, 1);
  return {images, labels, weight};
}

Box random_box(int64_t height, int64_t width, Rng& rng) {
  const int64_t h = height * 2 / 3, w = width * 2 / 3;
  return {rng.below(height - h + 1), rng.below(width - w + 1), h, w};
}

namespace {
// All (n,H,W,...) of one type.
void paste(const Tensor& base, const Tensor& patch, const Box& box, const Tensor& to) {
  require(base.shape() == patch.shape(), "copy-paste", "base ", base.shape(), " and patch ", patch.shape());
  const Shape& s = base.shape();
  copy(base, to);
  const size_t pixel = base.bytes() / size_t(s[0] * s[1] * s[2]), line = size_t(box.width) * pixel;
  parallel_for(s[0] * box.height, [&](int64_t i) {
    const int64_t row = (i / box.height) * s[1] + box.top + i % box.height;
    const size_t at = size_t(row * s[2] + box.left) * pixel;
    std::memcpy(static_cast<char*>(to.raw()) + at, static_cast<char*>(patch.raw()) + at, line);
  });
}
}  // namespace

void paste(const LabeledImages& base, const LabeledImages& patch, const Box& box, const LabeledImages& to) {
  paste(base.images, patch.images, box, to.images);
  paste(base.labels, patch.labels, box, to.labels);
  paste(base.weight, patch.weight, box, to.weight);
}

void exchange(
    const LabeledImages& labeled, const LabeledImages& unlabeled, const Box& box, const LabeledImages& to) {
  const int64_t n = to.images.shape()[0] / 2;
  const LabeledImages a = labeled.rows(0, n), b = unlabeled.rows(0, n);
  paste(b, a, box, to.rows(0, n));
  paste(a, b, box, to.rows(n, n));
}

void mix_among(const LabeledImages& x, const Box& box, const LabeledImages& to) {
  const int64_t n = x.images.shape()[0];
  for (int64_t i = 0; i < n; ++i) paste(x.rows(i, 1), x.rows((i + 1) % n, 1), box, to.rows(i, 1));
}

}  // namespace patchcl
