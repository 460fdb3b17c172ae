#include "train/methods/patch_regions.h"

#include "tensor/parallel.h"

namespace patchcl {

SeenImages::SeenImages(
    const Step& step, const Tensor& target, int64_t K, const Place& place, const Tensor& mixed) {
  const Batch& b = place.here(step.b);
  const Shape& s = b.images().shape();
  const int64_t n = target ? s[0] : b.labeled;
  confidence = place.memory.empty({n, s[1], s[2], K}, DType::f32);
  step.work([&] {
    images = place.here(b.images().rows(0, n));
    if (target && mixed) {
      const Tensor labeled = images.rows(0, b.labeled);
      images = place.memory.empty(images.shape(), images.dtype());
      copy(labeled, images.rows(0, b.labeled));
      copy(place.here(mixed), images.rows(b.labeled, n - b.labeled));
    }
    one_hot(place.here(b.labels().rows(0, b.labeled)), confidence.rows(0, b.labeled));
    if (target) copy(place.here(target), confidence.rows(b.labeled, n - b.labeled));
  });
  batch = {n, s[1], s[2], s[3], K, images.data<float>(), confidence.data<float>(),
      place.gpu ? &place.memory : nullptr};
}

Tensor confidence_of(const Tensor& labels, const Tensor& weight, int64_t K) {
  const Shape& s = labels.shape();
  const Tensor confidence = Arena("confidence").empty({s[0], s[1], s[2], K}, DType::f32);
  one_hot(labels, confidence);
  const float* w = weight.data<float>();
  float* c = confidence.data<float>();
  parallel_chunks(labels.numel(), [&](int64_t begin, int64_t end) {
    for (int64_t m = begin; m < end; ++m)
      for (int64_t k = 0; k < K; ++k)
        if (w[m] == 0) c[m * K + k] = 0;
  });
  return confidence;
}

namespace {
// The weights of one window; all alike where it shows nothing of its class.
void weigh(const PatchImages& b, const Patch& p, int64_t side, float* weights) {
  double sum = 0;
  for (int64_t i = 0; i < side * side; ++i) {
    const int64_t m = (p.image * b.height + p.top + i / side) * b.width + p.left + i % side;
    weights[i] = b.confidence[m * b.classes + p.label];
    sum += double(weights[i]);
  }
  for (int64_t i = 0; i < side * side; ++i)
    weights[i] =
        sum > 0 ? float(double(weights[i]) / sum) : 1 / float(side * side);  // EQ: 1.13 V1 weight w_r
}
}  // namespace

Regions regions_of(
    const Step& step, const PatchImages& batch, const std::vector<Patch>& drawn, int64_t side) {
  const int64_t n = int64_t(drawn.size());
  const Arena host("regions");
  Regions r{host.empty({n, 3}, DType::i32), host.empty({n, side, side}, DType::f32), classes_of(drawn)};
  step.work([&] {
    for (int64_t i = 0; i < n; ++i) {
      const Patch& p = drawn[size_t(i)];
      int32_t* at = r.windows.data<int32_t>() + 3 * i;
      at[0] = int32_t(p.image);
      at[1] = int32_t(p.top);
      at[2] = int32_t(p.left);
      weigh(batch, p, side, r.weights.data<float>() + i * side * side);
    }
  });
  return r;
}

Tensor attention_of(const Step& step, const PatchImages& b, const std::vector<Patch>& drawn,
    const std::vector<PatchView>& views, int64_t side, int64_t level) {
  const int64_t n = int64_t(drawn.size()), cells = side >> level;
  const Tensor weights = Arena("attention").zeros({n, cells, cells}, DType::f32);
  step.work([&] {
    parallel_for(n, [&](int64_t i) {
      const Patch& p = drawn[size_t(i)];
      std::vector<double> mean(size_t(cells * cells));
      double sum = 0;
      for (int64_t r = 0; r < cells << level; ++r)
        for (int64_t c = 0; c < cells << level; ++c) {
          const int64_t y = views.empty() ? r : views[size_t(i)].row(r),
                        x = views.empty() ? c : views[size_t(i)].column(c),
                        m = (p.image * b.height + p.top + y) * b.width + p.left + x;
          const double confidence = double(b.confidence[m * b.classes + p.label]);
          mean[size_t((r >> level) * cells + (c >> level))] += confidence;
          sum += confidence;
        }
      float* w = weights.data<float>() + i * cells * cells;
      for (const double of_cell : mean)
        *w++ = sum > 0 ? float(of_cell / sum) : 1 / float(cells * cells);  // EQ: 1.13 V2 weight of a cell
    });
  });
  return weights;
}

}  // namespace patchcl
