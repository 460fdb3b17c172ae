// Small run-time numbers as compile-time constants, so that inner loops over them unroll.
#pragma once
#include <cstdint>
#include <type_traits>

namespace patchcl {

// fn(k): k as a constant for 2, 3 and 4 (the usual numbers of classes), otherwise as it is.
template <class F> void with_constant(int64_t k, F&& fn) {
  switch (k) {
    case 2: return fn(std::integral_constant<int64_t, 2>());
    case 3: return fn(std::integral_constant<int64_t, 3>());
    case 4: return fn(std::integral_constant<int64_t, 4>());
    default: return fn(k);
  }
}

}  // namespace patchcl
