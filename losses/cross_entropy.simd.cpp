#include "losses/cross_entropy_kernels.h"

#include "autograd/ops/softmax_block_kernels.h"

namespace patchcl::PATCHCL_ISA {

namespace {
// The weights of a block of pixels from `begin` on.
void weigh(const PixelWeights& weight, const uint8_t* label, int64_t begin, int last_class, float* w) {
  for (int r = 0; r < kLanes; ++r) w[r] = label[begin + r] == last_class ? weight.on_last : 1.f;
  if (weight.of_pixel)
    for (int r = 0; r < kLanes; ++r) w[r] *= weight.of_pixel[begin + r];
}
}  // namespace

double cross_entropy_forward(
    const float* z, const uint8_t* label, PixelWeights weight, int64_t pixels, int64_t classes, float* lse) {
  double sums[kLanes] = {};  // one per lane, so that they add in parallel
  with_classes(classes, [&]<int K> {
    for (int64_t begin = 0; begin < pixels; begin += kLanes) {
      const auto b = SoftmaxBlock<K>::of(z + begin * K);
      const Vec block_lse = b.max + fast_log(b.sum);
      store(lse + begin, block_lse);
      float on_label[kLanes], loss[kLanes], w[kLanes];
      weigh(weight, label, begin, K - 1, w);
      for (int r = 0; r < kLanes; ++r) on_label[r] = z[(begin + r) * K + label[begin + r]];
      store(loss, (block_lse - load(on_label)) * load(w));
      for (int r = 0; r < kLanes; ++r) sums[r] += double(loss[r]);
    }
  });
  double total = 0;
  for (double s : sums) total += s;
  return total;
}

void cross_entropy_backward(const float* z, const uint8_t* label, PixelWeights weight, int64_t pixels,
    int64_t classes, const float* lse, float g, float* dz, bool accumulate) {
  with_classes(classes, [&]<int K> {
    for (int64_t begin = 0; begin < pixels; begin += kLanes) {
      float w[kLanes], d[kLanes * K];
      weigh(weight, label, begin, K - 1, w);
      for (int r = 0; r < kLanes; ++r)
        for (int k = 0; k < K; ++k) d[r * K + k] = z[(begin + r) * K + k] - lse[begin + r];
      for (int i = 0; i < kLanes * K; i += kLanes) store(d + i, fast_exp(load(d + i)));
      for (int r = 0; r < kLanes; ++r) d[r * K + label[begin + r]] -= 1;
      for (int r = 0; r < kLanes; ++r)
        for (int k = 0; k < K; ++k) d[r * K + k] *= g * w[r];
      float* to = dz + begin * K;
      for (int i = 0; i < kLanes * K; i += kLanes)
        store(to + i, accumulate ? load(to + i) + load(d + i) : load(d + i));
    }
  });
}

}  // namespace patchcl::PATCHCL_ISA
