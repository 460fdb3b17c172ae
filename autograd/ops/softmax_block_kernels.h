// For *.simd.cpp files: the softmax of kLanes rows of K numbers at once, one register of rows per class.
#pragma once
#include "autograd/ops/softmax_kernels.h"
#include "tensor/simd_math.h"

namespace patchcl::PATCHCL_ISA {

template <int K> struct SoftmaxBlock {
  Vec max, e[K], sum;  // e = e^(x - max), and its sum over k

  SIMD_INLINE SoftmaxBlock of(const float* x) {
    float column[K][kLanes];
    for (int r = 0; r < kLanes; ++r)
      for (int k = 0; k < K; ++k) column[k][r] = x[r * K + k];
    SoftmaxBlock b;
    b.max = load(column[0]);
    for (int k = 1; k < K; ++k) b.max = load(column[k]) > b.max ? load(column[k]) : b.max;
    b.sum = Vec{};
    for (int k = 0; k < K; ++k) {
      b.e[k] = fast_exp(load(column[k]) - b.max);
      b.sum += b.e[k];
    }
    return b;
  }
};

// fn<K>() for the numbers of classes that fast_classes() names.
template <class F> SIMD_INLINE void with_classes(int64_t classes, F&& fn) {
  switch (classes) {
    case 2: return fn.template operator()<2>();
    case 3: return fn.template operator()<3>();
    case 4: return fn.template operator()<4>();
  }
}

}  // namespace patchcl::PATCHCL_ISA
