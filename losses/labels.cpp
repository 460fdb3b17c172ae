#include "losses/labels.h"

#include <algorithm>

#include "tensor/parallel.h"

namespace patchcl {

void check_per_pixel(const char* name, const char* what, const Shape& per_pixel, const Shape& predictions) {
  bool fits = per_pixel.rank() == predictions.rank() - 1;
  for (int a = 0; fits && a < per_pixel.rank(); ++a) fits = per_pixel[a] == predictions[a];
  require(fits, name, what, " ", per_pixel, " does not fit predictions ", predictions);
}

void check_labelled_shapes(const char* name, const Shapes& x) {
  require(x.size() == 2 || x.size() == 3, name, "takes predictions, labels and at most a weight, got ",
      x.size(), " tensors");
  require(x[0].numel() > 0 && x[0][-1] <= 256, name,
      "wants predictions (N,..,K) with elements and at most 256 classes, got ", x[0]);
  check_per_pixel(name, "labels", x[1], x[0]);
  if (x.size() > 2) check_per_pixel(name, "weight", x[2], x[0]);
}

std::vector<Var> with_weight(const Var& predictions, const Var& other, const Var& weight) {
  return weight ? std::vector{predictions, other, weight} : std::vector{predictions, other};
}

void check_labels(const char* name, const Tensor& labels, int64_t classes) {
  const uint8_t* label = labels.data<uint8_t>();
  const int64_t n = labels.numel();
  uint8_t largest[64] = {};
  const int64_t piece = chunks(n, 64);
  parallel_chunks(
      n,
      [&](int64_t begin, int64_t end) {
        uint8_t m = 0;
        for (int64_t i = begin; i < end; ++i) m = std::max(m, label[i]);
        largest[begin / piece] = m;
      },
      piece);
  if (*std::max_element(largest, largest + 64) < classes) return;
  const int64_t at = std::find_if(label, label + n, [&](uint8_t v) { return v >= classes; }) - label;
  const int64_t pixels = n / labels.shape()[0];
  fail(ExitCode::data, name, "image ", at / pixels, " of the batch has label ", int(label[at]), " at pixel ",
      at % pixels, ", outside the classes 0..", classes - 1, "; check the masks");
}

}  // namespace patchcl
