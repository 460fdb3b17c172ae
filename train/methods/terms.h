// What the semi-supervised methods share: predictions without gradient, pseudo-labels, weights, the supervised loss.
#pragma once
#include "train/method.h"

namespace patchcl {

// Random streams of the passes of one step (layers/params.h: Pass::site) and of host-side draws.
namespace site {
constexpr uint32_t student = 0, teacher = 1000, input_noise = 3000, patches = 4000, patch_view = 4001, hard_negatives = 4002,
                   paste = 5000, uncertainty = 10000;
}  // namespace site

// Rows [begin, begin + count) of a batch tensor as a constant.
Var rows(Tape& tape, const Tensor& t, int64_t begin, int64_t count, const std::string& label);
// A tensor on the tape's device and, where it is f32, in `floating`, the type of the weights: itself where it is that already. On a
// dry tape only its shape counts.
Var upload(Tape& tape, const Tensor& t, DType floating, const std::string& label);
// A number that changes from step to step, (1).
Var scalar(Tape& tape, double value, DType floating);
// The numbers on the host, as f32: the tensor itself where it is already that.
Tensor on_host(const Tensor& t);

// softmax of `weights` on images x, (n,H,W,K), without gradient. `training`: dropout and batch statistics.
Tensor predict(Tape& tape, const TrainState& s, const ParamStore& weights, const Var& x, bool training, uint32_t site);

// 1/2 (cross-entropy + Dice) on labelled pixels (METHODS 4.4); `weight` (n,H,W) or empty.
Var supervised_loss(const Var& logits, const Var& labels, const Var& weight, LossTerms& log);

// Decisions of a teacher on unlabelled images, on the host.
struct PseudoLabels {
  Tensor labels;        // u8 (n,H,W): argmax, the first of equals; with refinement the largest component of each class
  Tensor weight;        // f32 (n,H,W): 1 where max p >= confidence, else 0
  double coverage = 0;  // mean weight
};
PseudoLabels pseudo_labels(const Tensor& probabilities, double confidence, bool largest_component);

}  // namespace patchcl
