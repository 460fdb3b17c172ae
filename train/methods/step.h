// A step in the making, and what methods make it of: predictions without gradient, pseudo-labels, weights,
// the supervised loss.
#pragma once
#include <cmath>

#include "train/methods/method.h"

namespace patchcl {

// Random streams of the passes of one step (layers/params.h: Pass::site) and of host-side draws.
namespace site {
constexpr uint32_t student = 0, teacher = 1000, second_student = 2000, second_teacher = 2500,
                   input_noise = 3000, patches = 4000, patch_view = 4001, teacher_windows = 4300,
                   patch_pass = 4500, paste = 5000, turns = 5109, pdcr = 6000, uncertainty = 10000,
                   hard_negatives = 1 << 20;  // and a stream for each pair of classes behind it
}  // namespace site

// The numbers on the host, as f32: the tensor itself where it is already that.
Tensor on_host(const Tensor& t);

// Where something without gradient is decided: on the GPU, where the step is there in f32, else on the host.
struct Place {
  Arena memory;
  bool gpu;
  Tensor here(const Tensor& t) const { return gpu ? t : on_host(t); }
  const Batch& here(const Batch& b) const { return gpu ? b : b.on_host(); }
};

// How a network predicts without gradient: the statistics of its batch norms, and whether it drops.
struct PredictMode {
  NormMode norm = NormMode::running;
  bool dropout = false;
};
constexpr PredictMode kEvaluation{}, kTraining{NormMode::batch, /*dropout=*/true};

struct Prediction {
  Tensor probabilities;  // (n,H,W,K)
  Tensor map;            // the decoder's last, (n,H,W,C)
};

struct Step {
  Tape& tape;
  const TrainState& s;
  const Batch& b;
  LossTerms& log;

  DType dtype() const { return s.student->dtype(); }
  Place place(bool host_only = false) const;
  // Work whose results are constants of the step. A plan needs the memory for it, not the work.
  template <class F> void work(F fn) const {
    if (!tape.dry()) fn();
  }
  // A constant that fn() makes of the student. Audits move the student and hold what the first evaluation
  // made.
  template <class F> Tensor held(const std::string& name, F fn) const {
    if (!s.held) return fn();
    Tensor& kept = (*s.held)[name];
    if (!kept) kept = fn();
    return kept;
  }
  // A condition that only numbers tell: a plan takes the way that needs more memory, the one with it.
  bool plan_for(bool condition) const { return tape.dry() || condition; }

  // A tensor on the tape's device and, where it is f32, in the type of the weights: itself where it is that
  // already.
  Var upload(const Tensor& t, const std::string& label) const;
  // Rows of the batch as constants: of the labelled and of the unlabelled images.
  Var labeled(const Tensor& t, const std::string& label) const { return rows(t, 0, b.labeled, label); }
  Var unlabeled(const Tensor& t, const std::string& label) const {
    return rows(t, b.labeled, b.unlabeled(), label);
  }
  Var rng() const { return tape.constant(s.rng, "rng"); }
  Rng host_rng(uint32_t site) const { return Rng(s.seed, uint64_t(s.iteration), site); }

  // What fn(step) returns of this step on a tape of its own that keeps nothing for a backward pass: numbers,
  // no Vars.
  template <class F> auto without_gradient(F fn) const {
    Tape forward_only(tape.arena(), {.grad = false, .check_finite = tape.options().check_finite});
    Step there{forward_only, s, b, log};
    return fn(there);
  }
  // The student in training; a second pass of one step draws its dropout at a site of its own.
  UNet::Output student_pass(const Var& images, uint32_t site = site::student) const;
  Var student(const Var& images) const { return student_pass(images).logits; }
  // `weights` on images x, without gradient.
  Prediction predict(const ParamStore& weights, const Var& x, const PredictMode& mode, uint32_t site) const;
  // 1/2 (cross-entropy + Dice) on labelled pixels (METHODS 4.4), those of the border class weighted in the
  // cross-entropy (METHODS 9.5); `weight` (n,H,W) or empty.
  Var supervised_loss(const Var& logits, const Var& labels, const Var& weight = {}) const;

 private:
  Var rows(const Tensor& t, int64_t begin, int64_t count, const std::string& label) const {
    return tape.constant(t.rows(begin, count), label);
  }
};

// Decisions of a teacher on unlabelled images, on the host or on the GPU.
struct PseudoLabels {
  Tensor
      labels;  // u8 (n,H,W): argmax, the first of equals; with refinement the largest component of each class
  Tensor weight;  // f32 (n,H,W): 1 where max p >= confidence, else 0
};
// Those of a prediction (n,H,W,K), at that place.
PseudoLabels pseudo_labels_of(
    const Step& step, const Tensor& p, double confidence, bool largest_component, const Place& place);
// p f32 (n,H,W,K) on the device of `to`; components on the host only.
void find_pseudo_labels(const Tensor& p, double confidence, bool largest_component, const PseudoLabels& to);
CUDA_ONLY(void find_pseudo_labels_cuda(const Tensor& p, double confidence, const PseudoLabels& to);)

// The decision at one pixel with probabilities p of K classes.
HD inline void decide_pixel(const float* p, int64_t K, float confidence, uint8_t& label, float& weight) {
  int64_t best = 0;
  for (int64_t k = 1; k < K; ++k)
    if (p[k] > p[best]) best = k;
  label = uint8_t(best);
  weight = p[best] >= confidence ? 1 : 0;  // EQ: 1.12 confidence mask
}

// Weight of each pixel, f32 (n,H,W), such that the mean over pixels and channels of weight * error is L_cons
// of UA-MT (ua_mt.h). All on one device; q is f32 (n,H,W,K), `memory` has room for the GPU's sums.
void find_certain_pixels(const Tensor& q, const Tensor& threshold, const Tensor& weight, const Arena& memory);
CUDA_ONLY(void find_certain_pixels_cuda(
    const Tensor& q, const Tensor& threshold, const Tensor& weight, const Arena& memory);)

// One pixel with probabilities q of K classes.
HD inline bool is_certain(const float* q, int64_t K, double threshold) {
  float U = 0;
  for (int64_t k = 0; k < K; ++k)
    if (q[k] > 0) U -= q[k] * std::log(q[k]);  // EQ: 4.4 uncertainty
  return double(U) < threshold;
}
// What a certain pixel weighs where `certain` of P pixels are.
HD inline float certain_weight(int64_t P, int64_t K, double certain) {
  return float(double(P * K) / (2 * certain + 1e-16));  // EQ: 4.4 UA-MT normalisation
}

}  // namespace patchcl
