#include "autograd/ops/softmax_kernels.h"

#include "autograd/ops/softmax_block_kernels.h"

namespace patchcl::PATCHCL_ISA {

void softmax_rows(const float* x, float* y, int64_t rows, int64_t classes) {
  with_classes(classes, [&]<int K> {
    for (int64_t begin = 0; begin < rows; begin += kLanes) {
      const auto b = SoftmaxBlock<K>::of(x + begin * K);
      const Vec scale = 1.f / b.sum;
      float column[K][kLanes];
      for (int k = 0; k < K; ++k) store(column[k], b.e[k] * scale);
      for (int r = 0; r < kLanes; ++r)
        for (int k = 0; k < K; ++k) y[(begin + r) * K + k] = column[k][r];
    }
  });
}

}  // namespace patchcl::PATCHCL_ISA
