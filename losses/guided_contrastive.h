// The pseudo-label guided contrastive loss of PatchCL (METHODS 1.7): InfoNCE against infinitely many keys at
// once.
//
// If the keys of class j are N(m_j, S_j), then E e^{<t,k>/tau} = e^{s_j(t)} with the Gaussian's moment
// generating function
//   s_j(t) = <t,m_j>/tau + lambda/(2 tau^2) t^T S_j t     (lambda = 1 is exact; larger widens the classes)
// and Jensen's inequality turns the expected InfoNCE of an anchor t of class i into
//   L(t) = -<t,mu_i>/tau + log( e^{s_ii(t)} + psi/K sum_{j != i} e^{s_ij(t)} ),   L = mean over the anchors
// where s_ii uses the statistics of class i's queue, s_ij those of the (hard) negatives of class j as seen
// from class i, and K counts the classes that take part. With pi = softmax of the terms in the logarithm (S
// symmetric):
//   dL/dt = 1/n [ -mu_i/tau + sum_j pi_j ( m_ij/tau + lambda/tau^2 S_ij t ) ],   S_ii = Sigma_i, m_ii = mu_i.
// Classes that are not ready (queue too short) take no part, nor do their anchors; with fewer than two
// classes the loss is 0 and its gradient exactly 0. Only t is differentiable: the statistics come from the
// teacher.
#pragma once
#include "autograd/tape.h"

namespace patchcl {

struct GuidedContrastiveOptions {
  double tau = 1;
  double lambda = 10;
  double psi = 1;  // how many negatives the sum stands for
};

class GuidedContrastive final : public Op {
 public:
  explicit GuidedContrastive(const GuidedContrastiveOptions& options) : options_(options) {}
  const char* name() const override { return "guided_contrastive"; }
  Shape shape(const Shapes& x) const override;
  Saves saves() const override { return {.inputs = 0b1111111, .output = false}; }
  bool differentiable(size_t i) const override { return i == 0; }
  // (n, K): pi, zero where a class or an anchor takes no part.
  std::vector<AuxSpec> aux(const Shapes& x, DType dtype) const override {
    return {{{x[0][0], x[2][0]}, dtype}};
  }
  size_t workspace(const Shapes& x, DType, Device) const override {
    return size_t(x[0][0]) * sizeof(double);
  }  // a loss per anchor

 protected:
  OP_CPU
  OP_CUDA

 private:
  GuidedContrastiveOptions options_;
};

// What the queues know about the classes; all detached.
struct ClassStatistics {
  Var mean;           // (K,D)
  Var covariance;     // (K,D,D), symmetric
  Var negative_mean;  // (K,K,D): row (i,j) is class j as a negative of class i; or (1,K,D), shared by all i
  Var negative_covariance;  // (K,K,D,D) or (1,K,D,D)
  Var ready;                // u8 (K): the class takes part
};

// embeddings (n,D), classes i32 (n) -> (1).
Var guided_contrastive(const Var& embeddings, const Var& classes, const ClassStatistics& statistics,
    const GuidedContrastiveOptions& options, Loc loc = Loc::current());

}  // namespace patchcl
