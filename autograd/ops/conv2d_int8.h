// conv2d_norm_act.h with factors of 8 bits, for inference: 3x3, padding 1, stride 1.
//
// What the network saw of x while it was calibrated lies in [lo, hi], which holds 0. With
//   step = (hi - lo) / 255,   zero = rint(-lo / step),   q(x) = clamp(rint(x / step) + zero, 0, 255)
// x is nearly step (q - zero); 0 is exactly 0, so padding is. Weights likewise, of each output channel o:
//   step_o = max |w_o| / 127,   q_o(w) = rint(w / step_o)
// and then, with scale and shift of conv2d_norm_act.h,
//   y = a( scale_o step step_o sum (q(x) - zero) q_o(w) + shift_o )
// The sum is one of whole numbers, below 2^31 for up to 4096 channels: exact in any order, on every
// instruction set. Its factors are bytes, four to a word: four times as many multiply-adds as f32 where the
// processor has them (AVX512-VNNI), elsewhere emulated.
//
// After Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
// Inference" (CVPR 2018), but for maps: they stay f32 or bf16 between the convolutions.
// Inputs: those of conv2d_norm_act.h, then (2): lo, hi. No gradient. CPU kernels: naive is the definition;
// fast wants channels in multiples of 16.
#pragma once
#include "autograd/ops/conv2d_norm_act.h"

namespace patchcl {

class Conv2dInt8 final : public Op {
 public:
  Conv2dInt8(int data_inputs, double eps, double slope)
      : data_inputs_(size_t(data_inputs)), eps_(eps), slope_(slope),
        f32_(data_inputs, {.padding = 1}, eps, slope) {}
  const char* name() const override { return "conv2d_int8"; }
  Shape shape(const Shapes& x) const override;
  Saves saves() const override { return {}; }
  bool differentiable(size_t) const override { return false; }
  bool takes_bf16(size_t i) const override { return i < data_inputs_; }
  size_t workspace(const Shapes& x, DType dtype, Device device) const override;

 protected:
  OP_CPU OP_CUDA

      private : Conv2dSizes
                sizes(const Shapes& x) const;
  size_t data_inputs_;
  double eps_, slope_;
  Conv2dNormAct f32_;  // knows the shapes
};

// On tapes without gradients only. range: (2), lo and hi.
Var conv2d_int8(const std::vector<Var>& x, const Var& w, const Var& b, const Var& gamma, const Var& beta,
    const BatchNormOptions& norm, double slope, const Tensor& range, Loc loc = Loc::current());

}  // namespace patchcl
