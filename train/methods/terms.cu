#include "tensor/cuda_runtime.cuh"
#include "train/methods/terms.h"

namespace patchcl {

void find_pseudo_labels_cuda(const Tensor& probabilities, double confidence, const PseudoLabels& to) {
  const int64_t K = probabilities.shape()[3];
  const float *p = probabilities.data<float>(), least = float(confidence);
  uint8_t* label = to.labels.data<uint8_t>();
  float* weight = to.weight.data<float>();
  cuda::for_each(to.labels.numel(), [=] __device__(int64_t m) { decide_pixel(p + m * K, K, least, label[m], weight[m]); });
}

}  // namespace patchcl
