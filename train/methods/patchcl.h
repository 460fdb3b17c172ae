// PatchCL (Basak and Yin, CVPR 2023; METHODS 1.12): pseudo-labels choose patches, a contrastive loss on
// patches of known class shapes the encoder, and a better encoder makes better pseudo-labels.
//
// Per step, besides the supervised and the consistency loss of semi_supervised.h:
//   1 confidence C of each class: one-hot labels on labelled images, the teacher's softmax on unlabelled
//   ones; 2 windows drawn by average patch entropy (train/methods/patch_sampler.h), patches cut from image
//   times confidence; 3 the teacher embeds an augmented view of each patch and feeds the queue of its class
//   (losses/embedding_queue.h); 4 the student embeds the plain patches; L_plg (losses/guided_contrastive.h)
//   or InfoNCE against the queues.
// Everything drawn or computed on the host happens before the student's pass on patches. Patches are
// normalised with their own batch's statistics and leave the running ones alone: statistics of masked patches
// would spoil those that segmentation uses, and gradients through running ones drive the two apart until
// segmentation fails. During the warm-up only labelled images take part.
#pragma once
#include "train/methods/area_filter.h"
#include "layers/projection_head.h"
#include "losses/embedding_queue.h"
#include "train/methods/semi_supervised.h"

namespace patchcl {

class PatchCl final : public SemiSupervised {
 public:
  using SemiSupervised::SemiSupervised;
  std::string name() const override { return "patchcl"; }
  bool wants_strong() const override { return true; }
  void declare(ParamLayout& layout, const UNetConfig& config) override;
  void save(TensorFile& file) const override;
  void load(const TensorFile& file) override;
  std::vector<NamedPicture> pictures(
      const TrainState& s, const Batch& b, const std::vector<std::string>& class_names) override;

  const EmbeddingQueue& queue() const { return *queue_; }

 protected:
  Tensor target(Step& step) override;
  const Tensor& student_view(const Batch& b) const override { return b.strong; }
  Var contrast(Step& step, const Tensor& target) override;

 private:
  // The patches of a step in two views, (n,P,P,C), and their classes.
  struct Patches {
    Tensor plain, augmented;
    std::vector<int32_t> classes;
  };
  Patches cut_patches(const Step& step, const Tensor& target);
  Var embed(
      Tape& tape, const TrainState& s, const ParamStore& weights, const Var& patches, bool training) const;
  // The teacher's embeddings, (n,D) on the host, pushed to the queues.
  Tensor enqueue(Step& step, const Patches& patches);
  Var guided(Step& step, const Var& embeddings, const Var& classes, const Tensor& keys,
      const Patches& patches) const;
  Var against_queue(Step& step, const Var& embeddings, const Var& classes, const Tensor& keys) const;
  bool ready(int64_t k) const { return queue_->size(k) >= options_.queue_ready; }

  int64_t classes_ = 0;
  std::unique_ptr<ProjectionHead> head_;
  std::unique_ptr<EmbeddingQueue> queue_;
  std::unique_ptr<AreaFilter> filter_;
};

}  // namespace patchcl
