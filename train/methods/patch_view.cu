#include "train/methods/patch_view.h"
#include "tensor/cuda_runtime.cuh"
#include "tensor/device.h"

namespace patchcl {

namespace {

// The list in GPU memory.
template <class T> Tensor moved(const std::vector<T>& list, const Arena& arena) {
  static_assert(std::is_trivially_copyable_v<T>);
  const Tensor t = arena.empty({int64_t(list.size() * sizeof(T))}, DType::u8);
  copy_bytes(t.raw(), Device::cuda, list.data(), Device::cpu, t.bytes());
  return t;
}

// out = pixel(patch, r, c, channel)
template <class F> void fill_patches(const Tensor& out, F pixel) {
  const int64_t side = out.shape()[1], channels = out.shape()[3];
  float* to = out.data<float>();
  cuda::for_each(out.numel(), [=] __device__(int64_t e) {
    to[e] = pixel(e / channels / side / side, e / channels / side % side, e / channels % side, e % channels);
  });
}

}  // namespace

void cut_patches_cuda(
    const PatchImages& b, const std::vector<Patch>& patches, bool attended, const Tensor& out) {
  const Tensor list = moved(patches, *b.gpu);
  const auto* patch = static_cast<const Patch*>(list.raw());
  fill_patches(out, [=] __device__(int64_t i, int64_t r, int64_t c, int64_t channel) {
    return patch_pixel(b, patch[i], r, c, channel, attended);
  });
}

void view_patches_cuda(const PatchImages& b, const std::vector<Patch>& patches,
    const std::vector<PatchView>& views, bool attended, const Tensor& out) {
  const Tensor list = moved(patches, *b.gpu), view_list = moved(views, *b.gpu);
  const auto* patch = static_cast<const Patch*>(list.raw());
  const auto* view = static_cast<const PatchView*>(view_list.raw());
  fill_patches(out, [=] __device__(int64_t i, int64_t r, int64_t c, int64_t channel) {
    return view[i].pixel(b, patch[i], r, c, channel, attended);
  });
}

}  // namespace patchcl
