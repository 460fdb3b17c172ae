#include "train/methods/patch_view.h"

#include "tensor/parallel.h"

namespace patchcl {

namespace {

ViewAxis draw_axis(int64_t n, bool crop, bool mirror, Rng& rng) {
  if (!crop) return {n, 0, n, mirror};
  const int64_t begin = int64_t(rng.uniform(0, 0.2) * double(n));
  return {n, begin, n - begin - int64_t(rng.uniform(0, 0.2) * double(n)), mirror};
}

// out = pixel(patch, r, c, channel)
template <class F>
void fill_patches(const PatchImages& b, const std::vector<Patch>& patches, const Tensor& out, F&& pixel) {
  const int64_t side = out.shape()[1];
  parallel_for(int64_t(patches.size()), [&](int64_t i) {
    float* to = out.data<float>() + i * side * side * b.channels;
    for (int64_t r = 0; r < side; ++r)
      for (int64_t c = 0; c < side; ++c)
        for (int64_t channel = 0; channel < b.channels; ++channel) *to++ = pixel(size_t(i), r, c, channel);
  });
}

}  // namespace

PatchView draw_view(int64_t side, int64_t channels, Rng& rng) {
  PatchView v{};
  v.noise = rng.uniform() < 0.5 ? rng.uniform(0, 0.05) : 0;
  v.contrast = rng.uniform() < 0.5 ? rng.uniform(0.5, 1.5) : 1;
  v.brightness = rng.uniform() < 0.5 ? rng.uniform(0.5, 1.5) : 1;
  v.seed = rng.seed();
  v.step = rng.step();
  v.site = rng.site();
  if (v.noise > 0) v.first_draw = rng.skip(uint64_t(2 * side * side * channels));
  const bool flip = rng.uniform() < 0.7, crop = rng.uniform() < 0.5;
  v.row = draw_axis(side, crop, false, rng);
  v.column = draw_axis(side, crop, flip, rng);
  return v;
}

std::vector<PatchView> draw_views(size_t n, int64_t side, int64_t channels, Rng& rng) {
  std::vector<PatchView> views;
  for (size_t i = 0; i < n; ++i) views.push_back(draw_view(side, channels, rng));
  return views;
}

void cut_patches(const PatchImages& b, const std::vector<Patch>& patches, bool attended, const Tensor& out) {
  if (b.gpu) {
    CUDA_ONLY(return cut_patches_cuda(b, patches, attended, out);)
  }
  fill_patches(b, patches, out, [&](size_t i, int64_t r, int64_t c, int64_t channel) {
    return patch_pixel(b, patches[i], r, c, channel, attended);
  });
}

void view_patches(const PatchImages& b, const std::vector<Patch>& patches,
    const std::vector<PatchView>& views, bool attended, const Tensor& out) {
  if (b.gpu) {
    CUDA_ONLY(return view_patches_cuda(b, patches, views, attended, out);)
  }
  fill_patches(b, patches, out, [&](size_t i, int64_t r, int64_t c, int64_t channel) {
    return views[i].pixel(b, patches[i], r, c, channel, attended);
  });
}

}  // namespace patchcl
