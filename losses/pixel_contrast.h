// Supervised contrast of pixels (METHODS 2.3): vectors of one label attract, all others repel each other.
//
//   s_ik = <f_i,f_k>/tau,   k runs over the group of i without i
//   P(i): those with the label of i,   N(i): the others,   D(i) = P(i) u N(i), or N(i)
//   released  l_i = log sum_{k in D(i)} e^{s_ik} - 1/|P(i)| sum_{p in P(i)} s_ip
//   paper     l_i = 1/|P(i)| [ log sum_{k in D(i)} e^{s_ik} - log sum_{p in P(i)} e^{s_ip} ]
//   L = mean over groups of the mean of l_i over their anchors
// Anchors are the vectors whose label is not 0 and whose P and N both hold something; groups without an
// anchor are left out. Without any the loss is 0 and the gradient exactly 0. With w_i the weight of l_i in L:
//   dL/ds_ik = w_i ( 1[k in D(i)] pi_ik - 1[k in P(i)] q_ik ),     pi_i the softmax of s_i over D(i)
//   q_ik = 1/|P(i)| (released) or the softmax of s_i over P(i) (paper);   w_i takes the paper's 1/|P(i)|
//   dL/df_i = 1/tau sum_k ( dL/ds_ik + dL/ds_ki ) f_k
// s is computed in tiles, forward and again backward, and never kept: the op needs room for M D numbers of
// the type under work, 20 (f32) or 36 (f64) bytes for each of the M vectors, and a tile for each thread.
// 12,800 vectors of 128 numbers take 8 MB. The GPU keeps no tiles: a warp walks over the candidates of its
// vector.
#pragma once
#include <cmath>

#include "autograd/tape.h"

namespace patchcl {

enum class ContrastForm { released, paper };
enum class ContrastDenominator { all, negatives };  // D(i)

struct PixelContrastOptions {
  ContrastForm form = ContrastForm::released;
  ContrastDenominator denominator = ContrastDenominator::all;
  double tau = 0.1;
};

// What backward needs to know of l_i. `weight` is 0 unless i is an anchor.
template <class T> struct AnchorStats {
  T all, positives;  // log sum e^s over D(i); over P(i), in the paper's form
  T weight;
};

// log sum e^s of numbers that come one by one or many at a time.
struct LogSum {
  double top = -INFINITY, sum = 0;  // of e^(s - top)
  HD void raise(double to) {
    if (to <= top) return;
    sum *= std::exp(top - to);
    top = to;
  }
  HD void add(double s) {
    raise(s);
    sum += std::exp(s - top);
  }
  HD void add(const LogSum& other) {
    raise(other.top);
    sum += other.sum * std::exp(other.top - top);
  }
  HD double value() const { return top + std::log(sum); }
};

// P(i) and N(i) of an anchor as they are summed up.
struct AnchorSums {
  LogSum positives, negatives;
  double similarity = 0;  // sum of s over P(i)

  // l_i; `weight` is the share of the anchor's l_i in L.
  template <class T>
  HD double finish(const PixelContrastOptions& o, int64_t count, double weight, AnchorStats<T>& stats) const {
    LogSum denominator = negatives;
    if (o.denominator == ContrastDenominator::all) denominator.add(positives);
    const bool paper = o.form == ContrastForm::paper;
    const double all = denominator.value(), pull = paper ? positives.value() : similarity / double(count);
    if (paper) weight /= double(count);
    stats = {T(all), T(pull), T(weight)};
    return weight * (all - pull);  // EQ: 2.3 local contrast
  }
};

class PixelContrast final : public Op {
 public:
  explicit PixelContrast(const PixelContrastOptions& options) : options_(options) {}
  const char* name() const override { return "pixel_contrast"; }
  Shape shape(const Shapes& x) const override;
  Saves saves() const override { return {.inputs = 0b11, .output = false}; }
  bool differentiable(size_t i) const override { return i == 0; }
  // Three integers for each vector (CPU: where it lies, begin and end of its label once a group is sorted by
  // labels; GPU: |P| of an anchor), and AnchorStats (CPU: member by member).
  std::vector<AuxSpec> aux(const Shapes& x, DType dtype) const override {
    return {{{x[1].numel(), 3}, DType::i32}, {{x[1].numel(), 3}, dtype}};
  }
  size_t workspace(const Shapes& x, DType dtype, Device device) const override;

 protected:
  OP_CPU
  OP_CUDA

 private:
  PixelContrastOptions options_;
};

// f (G,m,D): G groups of m vectors, of length 1 where the equation is to be that of the paper; labels i32
// (G,m), 0 the background.
Var pixel_contrast(
    const Var& f, const Var& labels, const PixelContrastOptions& options, Loc loc = Loc::current());

}  // namespace patchcl
