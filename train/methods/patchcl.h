// PatchCL (Basak and Yin, CVPR 2023; METHODS 1.12): pseudo-labels choose patches, a contrastive loss on
// patches of known class shapes the encoder, and a better encoder makes better pseudo-labels.
//
// Per step, besides the supervised and the consistency loss of semi_supervised.h:
//   1 confidence C of each class: one-hot labels on labelled images, the teacher's softmax on unlabelled
//   ones; 2 windows drawn by average patch entropy (patch_sampler.h), patches cut from image times
//   confidence; 3 the teacher embeds an augmented view of each patch and feeds the queue of its class
//     (losses/embedding_queue.h);
//   4 the student embeds the plain patches; L_plg (losses/guided_contrastive.h) or InfoNCE against the
//   queues.
// Everything drawn or computed on the host happens before the student's pass on patches. Patches are
// normalised with their own batch's statistics and leave the running ones alone: statistics of masked patches
// would spoil those that segmentation uses, and gradients through running ones drive the two apart until
// segmentation fails. During the warm-up only labelled images take part.
#pragma once
#include "layers/projection_head.h"
#include "losses/embedding_queue.h"
#include "losses/guided_contrastive.h"
#include "losses/hard_negatives.h"
#include "train/methods/area_filter.h"
#include "train/methods/patch_sampler.h"
#include "train/methods/semi_supervised.h"

namespace patchcl {

enum class Contrast { off, info_nce, guided };

// What the contrastive term of PatchCL can be told.
struct ContrastOptions {
  Contrast contrast = Contrast::guided;
  double weight = 0.5;      // beta of METHODS 1.12
  bool in_warm_up = true;   // false: the warm-up is supervised only, an ablation of 1.12
  int64_t dimension = 128;  // of an embedding
  GuidedContrastiveOptions warm_up{.tau = 0.2, .lambda = 4, .psi = 4096};
  GuidedContrastiveOptions guided{.tau = 1, .lambda = 10, .psi = 1};
  double info_nce_tau = 0.2;
  int64_t info_nce_negatives = 256;  // newest of each class's queue
  HardNegativeOptions hard_negatives;
  int64_t queue = 4096, queue_ready = 32;  // capacity; entries before a class takes part
  PatchOptions patches;
  int64_t patches_per_class = 8;
  bool attended = true;  // patches show x C instead of x
  AreaFilterMode area_filter = AreaFilterMode::corrected;
  double area_target = 0.8;

  void declare(OptionList& options);
};

// The patches of a step in two views, (n,P,P,C), and their classes.
struct Patches {
  Tensor plain, augmented;
  std::vector<int32_t> classes;
};

class PatchCl : public SemiSupervised {
 public:
  PatchCl();
  void resolve(const RunShape& run) override;
  void declare(ParamLayout& layout, const UNetConfig& config) override;
  void save(TensorFile& file) const override;
  void load(const TensorFile& file) override;
  std::vector<NamedPicture> pictures(
      const TrainState& s, const Batch& b, const std::vector<std::string>& class_names) override;

 protected:
  Var contrast(Step& step, const Passes& passes) override;
  double contrast_weight() const override { return o_.weight; }

  // The parts of contrast(), in their order. Tests put known patches and moments in place of drawn ones.
  virtual Patches draw_patches(const Step& step, const Tensor& target);
  // The teacher's embeddings, (n,D) on the host, pushed to the queues.
  virtual Tensor enqueue(Step& step, const Patches& patches);
  // Moments of the queues and of the hard negatives that they and the step's own embeddings give.
  virtual ClassStatistics statistics(Step& step, const Tensor& keys, const Patches& patches) const;
  virtual bool ready(int64_t k) const { return queue_->size(k) >= o_.queue_ready; }

 private:
  Var embed(
      Tape& tape, const TrainState& s, const ParamStore& weights, const Var& patches, bool training) const;
  Var against_queue(Step& step, const Var& embeddings, const Var& classes, const Tensor& keys) const;

  ContrastOptions o_;
  int64_t classes_ = 0;
  std::unique_ptr<ProjectionHead> head_;
  std::unique_ptr<EmbeddingQueue> queue_;
  std::unique_ptr<AreaFilter> filter_;
};

}  // namespace patchcl
