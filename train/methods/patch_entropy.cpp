#include "train/methods/patch_entropy.h"

#include <algorithm>

#include "tensor/error.h"
#include "tensor/parallel.h"
#include "train/methods/summed_area.h"

namespace patchcl {

WindowGrid::WindowGrid(int64_t h, int64_t w, int64_t p, int64_t s) : height(h), width(w), side(p), stride(s) {
  if (p < 1 || s < 1) fail(ExitCode::usage, "patches", "side ", p, " and stride ", s, " must be at least 1");
  if (p > h || p > w)
    fail(ExitCode::usage, "patches", "a patch of ", p, "x", p, " does not fit into images of ", h, "x", w,
        "; lower --patch-side");
  rows = (h - p + s - 1) / s + 1;
  cols = (w - p + s - 1) / s + 1;
}

std::vector<float> confidence_map(const PatchImages& b, int64_t image, int64_t k) {
  std::vector<float> map(size_t(b.pixels()));
  const float* c = b.confidence + image * b.pixels() * b.classes + k;
  for (size_t m = 0; m < map.size(); ++m) map[m] = c[int64_t(m) * b.classes];
  return map;
}

std::vector<float> entropy_map(const PatchImages& b, int64_t image, int64_t k, EntropyOf of) {
  std::vector<float> map(size_t(b.pixels()));
  for (size_t m = 0; m < map.size(); ++m) map[m] = pixel_entropy(b, image * b.pixels() + int64_t(m), k, of);
  return map;
}

std::vector<float> window_means(const std::vector<float>& map, const WindowGrid& g) {
  const SummedArea table(
      g.height, g.width, [&](int64_t y, int64_t x) { return map[size_t(y * g.width + x)]; });
  std::vector<float> means(size_t(g.count()));
  for (int64_t w = 0; w < g.count(); ++w)
    means[size_t(w)] = float(
        table.square(g.top(w), g.left(w), g.side).mean());  // EQ: 1.3 average patch entropy, mean confidence
  return means;
}

void one_hot(const Tensor& labels, const Tensor& confidence) {
  if (labels.device() == Device::cuda) {
    CUDA_ONLY(return one_hot_cuda(labels, confidence);)
  }
  const int64_t K = confidence.shape()[-1];
  const uint8_t* y = labels.data<uint8_t>();
  float* c = confidence.data<float>();
  parallel_chunks(labels.numel(), [&](int64_t begin, int64_t end) {
    for (int64_t m = begin; m < end; ++m)
      for (int64_t k = 0; k < K; ++k) c[m * K + k] = y[m] == k;
  });
}

WindowStatistics window_statistics(const PatchImages& b, const WindowGrid& grid, EntropyOf of) {
  WindowStatistics s{b.classes, grid.count(), {}, {}};
  s.entropy.resize(size_t(b.n * b.classes * grid.count()));
  s.confidence.resize(s.entropy.size());
  if (b.gpu) {
    CUDA_ONLY(window_statistics_cuda(b, grid, of, s);)
    return s;
  }
  parallel_for(b.n * b.classes, [&](int64_t map) {
    const std::vector<float> entropy =
        window_means(entropy_map(b, map / b.classes, map % b.classes, of), grid);
    const std::vector<float> confidence =
        window_means(confidence_map(b, map / b.classes, map % b.classes), grid);
    std::copy(entropy.begin(), entropy.end(), s.entropy.begin() + map * grid.count());
    std::copy(confidence.begin(), confidence.end(), s.confidence.begin() + map * grid.count());
  });
  return s;
}

}  // namespace patchcl
