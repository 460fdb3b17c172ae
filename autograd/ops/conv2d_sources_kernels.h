// What conv2d.cpp, its kernels' drivers and conv2d.cu share: the inputs as one concatenation and in runs of
// channels, which pixel a tap reads.
#pragma once
#include <algorithm>
#include <span>
#include <type_traits>
#include <vector>

#include "autograd/op.h"
#include "autograd/ops/conv2d_kernels.h"

namespace patchcl {

inline Shapes shapes_of(std::span<const Tensor> x) {
  Shapes shapes;
  for (const Tensor& t : x) shapes.push_back(t.shape());
  return shapes;
}

// The data inputs, or their gradients, as the kernels take them. Trivially copyable, for GPU kernels.
template <class T> class Concatenation {
 public:
  explicit Concatenation(std::span<const Tensor> x) {
    for (const Tensor& t : x) add(t.raw() ? t.data<std::remove_const_t<T>>() : nullptr, t.shape()[3], false);
  }
  Concatenation(std::span<const GradOut> dx, std::span<const Tensor> x) {
    for (size_t i = 0; i < x.size(); ++i)
      add(dx[i] ? dx[i].t.data<std::remove_const_t<T>>() : nullptr, x[i].shape()[3], dx[i].accumulate);
  }
  Concatenation(T* data, int64_t channels) { add(data, channels, false); }

  bool wanted() const {
    return std::any_of(begin(), end(), [](const auto& s) { return s.data != nullptr; });
  }
  operator ConvSources<T>() const { return {items_, count_}; }
  const ConvSource<T>* begin() const { return items_; }
  const ConvSource<T>* end() const { return items_ + count_; }
  // The source that holds channel c.
  HD const ConvSource<T>& of(int64_t c) const {
    int i = 0;
    while (c >= items_[i].begin + items_[i].count) ++i;
    return items_[i];
  }

 private:
  void add(T* data, int64_t channels, bool accumulate) {
    const int64_t first = count_ ? items_[count_ - 1].begin + items_[count_ - 1].count : 0;
    items_[count_++] = {data, first, channels, accumulate};
  }
  ConvSource<T> items_[kMaxConvSources];
  int count_ = 0;
};

// Channels [first, first + count) of one tensor of a concatenation.
template <class T> struct ChannelRun {
  const ConvSource<T>* of;
  int64_t first, count;
  int64_t begin() const { return of->begin + first; }
};

// All channels, in runs of up to `width`; none of gradients that nobody wants.
template <class T> std::vector<ChannelRun<T>> channel_runs(ConvSources<T> all, int64_t width) {
  std::vector<ChannelRun<T>> runs;
  for (const ConvSource<T>& of : all)
    for (int64_t first = 0; of.data && first < of.count; first += width)
      runs.push_back({&of, first, std::min(width, of.count - first)});
  return runs;
}

// Which source pixel a tap reads, along one axis: (i * mul + offset + tap * step) / div, if that is whole and
// inside. Forward: i*s - p + tap*d. Backward for data the other way round: (i + p - tap*d) / s.
struct Gather {
  int64_t mul, offset, step, div;
  HD int64_t at(int64_t i, int64_t tap, int64_t size) const {
    const int64_t t = i * mul + offset + tap * step;
    return t >= 0 && t % div == 0 && t / div < size ? t / div : -1;
  }
};
inline Gather forward_gather(const Conv2dSizes& s) { return {s.stride, -s.padding, s.dilation, 1}; }
inline Gather backward_gather(const Conv2dSizes& s) { return {1, s.padding, -s.dilation, s.stride}; }

}  // namespace patchcl
