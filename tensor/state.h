// Host vectors as entries of a checkpoint: queues, thresholds, counters.
#pragma once
#include <algorithm>
#include <vector>

#include "tensor/io.h"

namespace patchcl {

template <class T> void put(TensorFile& file, const std::string& name, const std::vector<T>& v) {
  const Tensor t = Arena("state").empty({int64_t(v.size())}, DTypeOf<T>::value);
  std::copy(v.begin(), v.end(), t.data<T>());
  file.tensors[name] = t;
}

// Throws Error(checkpoint) when the entry is missing, of another type, or not of `size` numbers (any when
// negative).
template <class T> std::vector<T> get(const TensorFile& file, const std::string& name, int64_t size = -1) {
  const auto found = file.tensors.find(name);
  if (found == file.tensors.end())
    fail(ExitCode::checkpoint, "checkpoint", "holds no '", name,
        "'; it belongs to another method or configuration");
  const Tensor& t = found->second;
  if (t.dtype() != DTypeOf<T>::value || (size >= 0 && t.numel() != size))
    fail(ExitCode::checkpoint, "checkpoint", "'", name, "' is ", dtype_name(t.dtype()), " ", t.shape(),
        ", this configuration wants ", size, " of ", dtype_name(DTypeOf<T>::value));
  const T* p = t.data<T>();
  return std::vector<T>(p, p + t.numel());
}

}  // namespace patchcl
