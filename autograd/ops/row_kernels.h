// Which kernels work on a row of pixels: a choice that max_pool2d and upsample2x make alike.
#pragma once
#include <cstdint>
#include <type_traits>

#include "tensor/device.h"

namespace patchcl {

// fn(Fast<T>{}) for f32 and bf16 and channels in multiples of 16, unless naive kernels are wanted; else
// fn(Naive{}).
template <class T, template <class> class Fast, class Naive, class F>
void with_row_kernels(int64_t channels, F&& fn) {
  if constexpr (!std::is_same_v<T, double>)
    if (kernels() != Kernels::naive && channels % 16 == 0) return fn(Fast<T>{});
  fn(Naive{});
}

}  // namespace patchcl
