// Which items make batch number `iteration`: a function of (seed, iteration), so a resumed run continues
// exactly.
//
// SSL4MIS's two streams (METHODS 4.4): an epoch is one shuffled pass over the labelled items, an incomplete
// last batch dropped; the unlabelled items go round without end and are reshuffled for each pass. With fewer
// labelled items than a batch wants, the labelled ones go round in the same way. A batch without labelled
// images draws from all items, labelled ones too, in the second way: pre-training, to which labels are
// nothing. Where every item has a label (SSL4MIS stops there) the unlabelled stream goes round them too: the
// loader gives what it draws no labels.
#pragma once
#include <cstdint>
#include <vector>

namespace patchcl {

class Sampler {
 public:
  // Items are numbered as in Dataset: labelled [0, labeled), unlabelled [labeled, labeled + unlabeled).
  // Supervised training has unlabeled_batch = 0. Throws Error(usage) for an empty batch, Error(data) without
  // any labelled item.
  Sampler(uint64_t seed, int64_t labeled, int64_t unlabeled, int64_t labeled_batch, int64_t unlabeled_batch);

  // labeled_batch labelled items, then unlabeled_batch unlabelled ones; with labeled_batch = 0 any.
  std::vector<int64_t> batch(int64_t iteration) const;
  int64_t labeled_batch() const { return labeled_batch_; }
  int64_t batch_size() const { return labeled_batch_ + unlabeled_batch_; }

 private:
  uint64_t seed_;
  int64_t labeled_, unlabeled_, labeled_batch_, unlabeled_batch_;
};

}  // namespace patchcl
