// InfoNCE with class-labelled negatives (METHODS 1.11): pull an anchor to its positive, push it from other
// classes.
//
//   L = mean_i [ log( e^{z_i+} + sum_j e^{z_ij} ) - z_i+ ],   z_i+ = <q_i,k_i>/tau,  z_ij = <q_i,n_j>/tau
// where j runs over the negatives whose class differs from anchor i's. With pi = softmax over {+, j}:
//   dL/dq_i = ( (pi_+ - 1) k_i + sum_j pi_j n_j ) / (tau A),  dL/dk_i = (pi_+ - 1) q_i / (tau A),
//   dL/dn_j = sum_i pi_ij q_i / (tau A),                      A = number of anchors that take part.
// Rows of class -1 take no part, as anchor or negative: so the shapes can stay fixed from step to step. An
// anchor without a negative has loss 0 and gradient exactly 0. Keys from a teacher come in as constants.
// Denominator::negatives leaves e^{z_i+} out of the logarithm, as Boserup and Selvan do (METHODS 1.3): then
// pi_+ = 0, pi_j = softmax over j alone, and the loss may be negative.
#pragma once
#include "autograd/tape.h"

namespace patchcl {

enum class Denominator { all, negatives };

class InfoNce final : public Op {
 public:
  explicit InfoNce(double tau, Denominator denominator = Denominator::all)
      : tau_(tau), denominator_(denominator) {}
  const char* name() const override { return "info_nce"; }
  Shape shape(const Shapes& x) const override;
  Saves saves() const override { return {.inputs = 0b00111, .output = false}; }
  bool differentiable(size_t i) const override { return i < 3; }
  // (n, m + 1): dL/dz, the positive's column first.
  std::vector<AuxSpec> aux(const Shapes& x, DType dtype) const override {
    return {{{x[0][0], x[2][0] + 1}, dtype}};
  }
  // A loss per anchor, which a GPU adds up at the end.
  size_t workspace(const Shapes& x, DType, Device device) const override {
    return device == Device::cuda ? size_t(x[0][0]) * sizeof(double) : 0;
  }

 protected:
  OP_CPU
  OP_CUDA

 private:
  double tau_;
  Denominator denominator_;
};

// anchors (n,D), positives (n,D): positives[i] belongs to anchors[i]; negatives (m,D); classes i32 (n) and
// (m).
Var info_nce(const Var& anchors, const Var& positives, const Var& negatives, const Var& anchor_class,
    const Var& negative_class, double tau, Denominator denominator = Denominator::all,
    Loc loc = Loc::current());

}  // namespace patchcl
