#include "train/methods/mixing.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "tensor/parallel.h"

namespace patchcl {

LabeledImages labeled_images(int64_t n, int64_t height, int64_t width, int64_t channels) {
  const Arena host("copy-paste");
  return {host.empty({n, height, width, channels}, DType::f32), host.empty({n, height, width}, DType::u8),
      host.empty({n, height, width}, DType::f32)};
}

LabeledImages weighted_alike(const Tensor& images, const Tensor& labels, double w) {
  const Tensor weight = Arena("copy-paste").empty(labels.shape(), DType::f32);
  fill(weight, w);
  return {images, labels, weight};
}

Box random_box(int64_t height, int64_t width, Rng& rng) {
  const int64_t h = height * 2 / 3, w = width * 2 / 3;
  return {rng.below(height - h + 1), rng.below(width - w + 1), h, w};
}

namespace {
// Gamma with shape 4: a sum of four exponential draws.
double gamma_4(Rng& rng) {
  double product = 1;
  for (int i = 0; i < 4; ++i) product *= rng.uniform();
  return -std::log(product);
}
}  // namespace

std::vector<Box> cut_mix_boxes(int64_t n, int64_t height, int64_t width, Rng& rng) {
  const double a = gamma_4(rng), b = gamma_4(rng), share = b / (a + b);  // 1 - lambda
  const int64_t h = int64_t(double(height) * std::sqrt(share)), w = int64_t(double(width) * std::sqrt(share));
  std::vector<Box> boxes;
  for (int64_t i = 0; i < n; ++i) {
    // Centres keep an eighth away from the upper and the left border, as the released code's do.
    const int64_t y = height / 8 + rng.below(height - height / 8),
                  x = width / 8 + rng.below(width - width / 8);
    const int64_t top = std::max<int64_t>(y - h / 2, 0), left = std::max<int64_t>(x - w / 2, 0);
    boxes.push_back({top, left, std::min(y + h / 2, height) - top, std::min(x + w / 2, width) - left});
  }
  return boxes;
}

Box random_cut(int64_t height, int64_t width, Rng& rng) {
  const bool cuts = rng.below(2) == 0;
  const double area = rng.uniform(0.02, 0.4) * double(height * width);
  for (;;) {  // until one fits: the area stays what it is
    const double aspect = rng.uniform(0.3, 1 / 0.3);
    const int64_t h = int64_t(std::sqrt(area * aspect)), w = int64_t(std::sqrt(area / aspect));
    const int64_t top = rng.below(height), left = rng.below(width);
    if (top + h > height || left + w > width) continue;
    return cuts ? Box{top, left, h, w} : Box{0, 0, 0, 0};
  }
}

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

CutMix::CutMix(int64_t n, int64_t height, int64_t width, Rng& rng)
    : boxes(cut_mix_boxes(n, height, width, rng)), partner(shuffled(n, rng)) {}

Tensor CutMix::operator()(const Tensor& x) const {
  const Tensor to = Arena("cut-mix").empty(x.shape(), x.dtype());
  for (size_t i = 0; i < boxes.size(); ++i)
    paste(x.rows(int64_t(i), 1), x.rows(partner[i], 1), boxes[i], to.rows(int64_t(i), 1));
  return to;
}

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

void paste_square(
    const LabeledImages& base, const LabeledImages& labeled, const Box& box, const LabeledImages& to) {
  const int64_t n = base.images.shape()[0], known = labeled.images.shape()[0];
  for (int64_t i = 0; i < n; ++i) paste(base.rows(i, 1), labeled.rows(i % known, 1), box, to.rows(i, 1));
}

void cut_mix(const LabeledImages& x, Rng& rng, const LabeledImages& to) {
  const Shape& s = x.images.shape();
  const CutMix cut(s[0], s[1], s[2], rng);
  copy(cut(x.images), to.images);
  copy(cut(x.labels), to.labels);
  copy(cut(x.weight), to.weight);
}

void mix_among(const LabeledImages& x, const Box& box, const LabeledImages& to) {
  const int64_t n = x.images.shape()[0];
  for (int64_t i = 0; i < n; ++i) paste(x.rows(i, 1), x.rows((i + 1) % n, 1), box, to.rows(i, 1));
}

}  // namespace patchcl
