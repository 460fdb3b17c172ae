// What the losses over labelled pixels share: predictions (N,..,K), labels u8 (N,..), optional weights
// (N,..).
#pragma once
#include <cmath>

#include "autograd/tape.h"

namespace patchcl {

// Throws Error("[name] ...") unless `per_pixel` is the shape of `predictions` without its last axis.
void check_per_pixel(const char* name, const char* what, const Shape& per_pixel, const Shape& predictions);
// Likewise unless x = {predictions, labels} or {predictions, labels, weight} with fitting shapes.
void check_labelled_shapes(const char* name, const Shapes& x);

// Throws Error(data) when a label is not in {0..classes-1}, naming the first such label, its image and pixel.
// CPU only: on the GPU, where nothing may wait, a bad label makes the loss NaN and the anomaly pass names it.
void check_labels(const char* name, const Tensor& labels, int64_t classes);

// {predictions, other}, and the weight where there is one: the inputs of a loss.
std::vector<Var> with_weight(const Var& predictions, const Var& other, const Var& weight);
// The third input of a loss; null: all weights are 1.
template <class T> const T* weight_of(std::span<const Tensor> x) {
  return x.size() > 2 ? x[2].data<T>() : nullptr;
}

// Predictions, labels and weights of `count` pixels as the loops read them.
template <class T> struct LabelledPixels {
  const T* p;  // (count, classes): logits or probabilities
  const uint8_t* label;
  const T* weight;  // null: all 1
  int64_t count, classes;
  T on_last;  // what weighs a pixel of the last class is multiplied by

  explicit LabelledPixels(std::span<const Tensor> x, double on_last = 1)
      : p(x[0].data<T>()), label(x[1].data<uint8_t>()), weight(weight_of<T>(x)), count(x[1].numel()),
        classes(x[0].shape()[-1]), on_last(T(on_last)) {}
  HD T w(int64_t i) const {
    return (weight ? weight[i] : T(1)) * (label[i] == classes - 1 ? on_last : T(1));  // EQ: 9.5 border weight
  }
  // NaN for a label outside the classes: on the GPU nothing may wait, and the anomaly pass finds it.
  HD T w_or_nan(int64_t i) const { return label[i] < classes ? w(i) : T(NAN); }
  // Pixels [begin, end).
  LabelledPixels window(int64_t begin, int64_t end) const {
    LabelledPixels part = *this;
    part.p += begin * classes;
    part.label += begin;
    if (weight) part.weight += begin;
    part.count = end - begin;
    return part;
  }
};

}  // namespace patchcl
