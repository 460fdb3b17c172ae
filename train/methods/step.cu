#include "tensor/cuda_runtime.cuh"
#include "train/methods/step.h"

namespace patchcl {

void find_pseudo_labels_cuda(const Tensor& probabilities, double confidence, const PseudoLabels& to) {
  const int64_t K = probabilities.shape()[3];
  const float *p = probabilities.data<float>(), least = float(confidence);
  uint8_t* label = to.labels.data<uint8_t>();
  float* weight = to.weight.data<float>();
  cuda::for_each(to.labels.numel(),
      [=] __device__(int64_t m) { decide_pixel(p + m * K, K, least, label[m], weight[m]); });
}

void find_certain_pixels_cuda(
    const Tensor& mean_prediction, const Tensor& threshold, const Tensor& weight, const Arena& memory) {
  const int64_t pixels = weight.numel(), K = mean_prediction.shape()[-1];
  const float* q = mean_prediction.data<float>();
  const double* most = threshold.data<double>();
  float* w = weight.data<float>();
  const Tensor sums = memory.empty({int64_t(cuda::kReduceBytes)}, DType::u8),
               each_of = memory.empty({1}, DType::f32);
  float* each = each_of.data<float>();
  cuda::for_each(pixels, [=] __device__(int64_t m) { w[m] = is_certain(q + m * K, K, most[0]); });
  cuda::reduce(
      pixels, sums.raw(), [=] __device__(int64_t m) { return w[m]; },
      [=] __device__(double certain) { each[0] = certain_weight(pixels, K, certain); });
  cuda::for_each(pixels, [=] __device__(int64_t m) { w[m] = w[m] > 0 ? each[0] : 0; });
}

}  // namespace patchcl
