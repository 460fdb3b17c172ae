// Contrast with affinities between 0 and 1 in place of positives and negatives (PDCR; METHODS 3.2):
// features of patches that show much the same attract, others repel, each as far as they do.
//
//   div_pq = |phi_p - phi_q| over the classes, aff_pq = 1 - div_pq;   d_pq = (1 - cos_pq) / tau
//   contrastive  l_p = mean_q aff_pq d_pq + log sum_k e^{-div_pk d_pk}
//   l1, l2       l_p = mean_q |e_pq| or e_pq^2,   e_pq = (1 - cos_pq) / 2 - div_pq
//   L = mean over the images of the mean over p of l_p
// which is the published -log e^{s_pq aff_pq} / sum_k e^{s_pk div_pk} with s = cos/tau - max: the largest
// cos of a map with itself is 1. Between two maps it is 1 here too, where the published code takes the
// largest there is.
//   dL/dcos_pq = w_p / tau ( -aff_pq / m + div_pq pi_pq ),  pi_p the softmax of -div_pk d_pk, w_p = 1/(B n)
//   l1, l2:      w_p / m times -sign(e_pq) / 2 or -e_pq
// Patches may be left out (valid = 0): they are neither p, q nor k, and n, m and B count what is left.
// Without any the loss is 0. `reversed` swaps aff and div, as the published 2-D code has it; for
// comparison only. Similarities are computed forward and again backward, row by row (naive) or in tiles
// (affinity_contrast_tiles.h); nothing of size n x m is kept.
#pragma once
#include <cmath>

#include "autograd/tape.h"

namespace patchcl {

enum class AffinityForm { contrastive, l1, l2 };
// How alike two patches are, from what is known of each, phi:
//   ratio      phi: shares of the foreground classes;   div = sum |a - b|, up to 2 between two foregrounds
//   variation  phi: shares of all classes;              div = sum |a - b| / 2, in [0,1]
//   dice       phi: foreground masks, flattened;        div = sum |a - b| / sum (a + b), aff their Dice
enum class Affinity { ratio, variation, dice };

struct AffinityContrastOptions {
  AffinityForm form = AffinityForm::contrastive;
  Affinity affinity = Affinity::ratio;
  double tau = 0.5;
  bool reversed = false;

  template <class T> HD double divergence(const T* a, const T* b, int64_t K) const {
    double apart = 0, both = 0;
    for (int64_t k = 0; k < K; ++k) {
      apart += std::fabs(double(a[k]) - double(b[k]));
      both += double(a[k]) + double(b[k]);
    }
    return divergence(apart, both);
  }
  // apart = sum |a - b|, both = sum (a + b)
  template <class T> HD T divergence(T apart, T both) const {
    if (affinity == Affinity::ratio) return apart;  // EQ: 3.2 divergence
    if (affinity == Affinity::variation) return apart / 2;
    return both > 0 ? apart / both : T(0);
  }
};

// One pair, given cos_pq and div_pq.
template <class T> struct AffinityPair {
  T pull, push, distance, error;
  HD AffinityPair(const AffinityContrastOptions& o, T cosine, T divergence)
      : pull(o.reversed ? divergence : 1 - divergence), push(o.reversed ? 1 - divergence : divergence),
        distance((1 - cosine) / T(o.tau)), error((1 - cosine) / 2 - divergence) {}
  HD T exponent() const { return -push * distance; }
  // Its part of l_p but for the logarithm, times m.
  HD T term(AffinityForm form) const {
    if (form == AffinityForm::l1) return std::fabs(error);
    return form == AffinityForm::l2 ? error * error : pull * distance;
  }
  // dl_p/dcos_pq; `pushed` is e^(exponent - the logarithm of l_p), which l1 and l2 do not have.
  HD T slope(const AffinityContrastOptions& o, T m, T pushed) const {
    if (o.form == AffinityForm::l1) return T(error > 0 ? -0.5 : 0.5) / m;
    if (o.form == AffinityForm::l2) return -error / m;
    return (push * pushed - pull / m) / T(o.tau);  // EQ: 3.2 dL/dcos
  }
};

class AffinityContrast final : public Op {
 public:
  explicit AffinityContrast(const AffinityContrastOptions& options) : options_(options) {}
  const char* name() const override { return "affinity_contrast"; }
  Shape shape(const Shapes& x) const override;
  Saves saves() const override { return {.inputs = Saves::all, .output = false}; }
  bool differentiable(size_t i) const override { return i < 2; }
  // Of each row p: the logarithm of l_p, and w_p, which is 0 for one that is left out.
  std::vector<AuxSpec> aux(const Shapes& x, DType) const override {
    return {{{x[0][0], x[0][1], 2}, DType::f64}};
  }
  size_t workspace(const Shapes& x, DType dtype, Device device) const override;

 protected:
  OP_CPU
  OP_CUDA

 private:
  AffinityContrastOptions options_;
};

// What is compared: n or m features of length 1 for each of B images, phi of their patches, and 1 or 0 for
// whether a patch counts.
struct AffinityFeatures {
  Var features;  // (B,n,D)
  Var phi;       // (B,n,K), a constant
  Var valid;     // (B,n), a constant
};
// Shape (1). Both may be the same.
Var affinity_contrast(const AffinityFeatures& p, const AffinityFeatures& q,
    const AffinityContrastOptions& options, Loc loc = Loc::current());

}  // namespace patchcl
