// PatchCL with the loss of the ancestor whose entropy sampler it took (Boserup and Selvan 2022; METHODS 1.3):
// windows that do not show a class are its negatives too.
//
//   L_intra(c) = mean_a [ log sum_{q in N_c} e^{<a,q>/tau} - <a,m_c>/tau ],  N_c the windows with b = 0 for c
//   L_inter(c) = the same against the windows of all other classes,          m_c the mean of those of c
//   L = mean over the classes c of L_intra(c) + L_inter(c)
// where a are the student's embeddings, m and q the teacher's. Theirs averages -<a,p> over the positives p,
// which is -<a,m_c>, and compares raw patches by default; ours compares embeddings.
// With --absent-negatives such windows join InfoNCE's negatives from the queues (METHODS 1.13, V5).
#include <algorithm>

#include "autograd/ops/arith.h"
#include "autograd/ops/pointwise.h"
#include "losses/info_nce.h"
#include "train/methods/patchcl.h"

namespace patchcl {

namespace {

// One list for one class: `member` where the entry is of it, else `other`.
Tensor marked(const std::vector<int32_t>& classes, int32_t k, int32_t member, int32_t other) {
  const Tensor t = Arena("contrast").empty({int64_t(classes.size())}, DType::i32);
  for (size_t i = 0; i < classes.size(); ++i) t.data<int32_t>()[i] = classes[i] == k ? member : other;
  return t;
}

// Row i: the mean of the keys of row i's class.
Tensor means_of_classes(const Tensor& keys, const std::vector<int32_t>& classes) {
  const Tensor means = Arena("contrast").empty(keys.shape(), DType::f32);
  for (size_t i = 0; i < classes.size(); ++i) {
    const Eigen::VectorXd mean = mean_of_class(keys, classes, classes[i]);
    std::copy(mean.begin(), mean.end(), means.data<float>() + int64_t(i) * mean.size());
  }
  return means;
}

}  // namespace

Var PatchCl::intra_inter(
    Step& step, const Var& embeddings, const Patches& patches, const Tensor& keys) const {
  // An anchor's class is 0 and its negatives' 1 in each of these, whatever the class is.
  constexpr int32_t kAnchor = 0, kNegative = 1, kNoPart = -1;
  if (patches.absent() == 0) return {};
  const Tensor shown = keys.rows(0, patches.shown());
  Tensor means = Arena("contrast").zeros(shown.shape(), DType::f32);
  step.work([&] { means = means_of_classes(shown, patches.classes); });
  const Var positives = step.upload(means, "means of the classes"), others = step.upload(shown, "keys"),
            absent = step.upload(keys.rows(patches.shown(), patches.absent()), "windows without the class");
  Var sum;
  for (int32_t k = 0; k < int32_t(classes_); ++k) {
    const Var anchors = step.upload(marked(patches.classes, k, kAnchor, kNoPart), "anchors of a class"),
              not_k = step.upload(marked(patches.classes_without, k, kNegative, kNoPart), "b = 0"),
              of_others = step.upload(marked(patches.classes, k, kNoPart, kNegative), "of other classes");
    for (const auto& [negatives, of] : {std::pair(absent, not_k), std::pair(others, of_others)}) {
      const Var term = info_nce(embeddings, positives, negatives, anchors, of, o_.guided.tau,
          Denominator::negatives);  // EQ: 1.3 intra and inter loss
      sum = sum ? add(sum, term) : term;
    }
  }
  return affine(sum, 1 / double(classes_), 0);
}

// The mean over the anchors, class by class: what is a negative of one class need not be one of another.
Var PatchCl::against_queue_and_absent(
    Step& step, const Var& embeddings, const Patches& patches, const Tensor& keys) const {
  constexpr int32_t kNoPart = -1;
  const Negatives queued = queue_negatives();
  const int64_t q = queued.rows.shape()[0], m = patches.absent();
  const Tensor rows = Arena("contrast").zeros({q + m, o_.dimension}, DType::f32);
  copy(queued.rows, rows.rows(0, q));
  step.work([&] { copy(keys.rows(patches.shown(), m), rows.rows(q, m)); });
  const Var positives = step.upload(keys.rows(0, patches.shown()), "keys"),
            negatives = step.upload(rows, "negatives");
  const auto anchors_of = [&](int32_t k) { return double(std::ranges::count(patches.classes, k)); };
  double anchors = 0;
  for (int32_t k = 0; k < int32_t(classes_); ++k) anchors += ready(k) ? anchors_of(k) : 0;
  Var sum;
  for (int32_t k = 0; k < int32_t(classes_); ++k) {
    const int32_t absent = int32_t(classes_);  // a class that no anchor has
    const Tensor classes = Arena("contrast").empty({q + m}, DType::i32);
    copy(queued.classes, classes.rows(0, q));
    copy(marked(patches.classes_without, k, absent, kNoPart), classes.rows(q, m));
    const Var term = info_nce(embeddings, positives, negatives,
        step.upload(marked(patches.classes, k, k, kNoPart), "anchors of a class"),
        step.upload(classes, "negative classes"), o_.info_nce_tau);
    const Var share = affine(term, ready(k) ? anchors_of(k) / std::max(anchors, 1.) : 0, 0);
    sum = sum ? add(sum, share) : share;
  }
  return sum;
}

}  // namespace patchcl
