// PatchCL (Basak and Yin, CVPR 2023; METHODS 1.12): pseudo-labels choose patches, a contrastive loss on
// patches of known class shapes the encoder, and a better encoder makes better pseudo-labels.
//
// Per step, besides the supervised and the consistency loss of semi_supervised.h:
//   1 confidence C of each class: one-hot labels on labelled images, the teacher's softmax on unlabelled ones
//   2 windows are drawn by average patch entropy (patch_sampler.h), patches cut from image times confidence
//   3 the teacher embeds a view of each patch, which joins the queue of its class (losses/embedding_queue.h)
//   4 the student embeds the plain patches: L_plg (losses/guided_contrastive.h) or InfoNCE against the queues
// Everything drawn or computed on the host happens before the student's pass on patches. Patches are
// normalised with their own batch's statistics and leave the running ones alone: statistics of masked patches
// would spoil those that segmentation uses, and gradients through running ones drive the two apart until
// segmentation fails. During the warm-up only labelled images take part.
#pragma once
#include "autograd/ops/cast.h"
#include "layers/projection_head.h"
#include "losses/embedding_queue.h"
#include "train/methods/contrast_options.h"
#include "train/methods/matched_weight.h"
#include "train/methods/patch_regions.h"
#include "train/methods/semi_supervised.h"

namespace patchcl {

// The patches of a step in two views, (n + m,P,P,C): n of known classes and, with --contrast intra-inter and
// --absent-negatives, m windows that do not show the class they were drawn for (b = 0). All are embedded as
// one batch: by itself, batch norm would blow the few grey levels of black windows up to those of the others.
// With --embed attention the weights of the cells of an encoder's map, (n,h,w), else none.
struct Patches {
  Tensor plain = {}, augmented = {};
  std::vector<int32_t> classes = {}, classes_without = {};
  Tensor plain_attention = {}, augmented_attention = {};
  int64_t shown() const { return int64_t(classes.size()); }           // n
  int64_t absent() const { return int64_t(classes_without.size()); }  // m
};

// The mean of the keys, (n,D) on the host, of class k; zeros where there is none.
Eigen::VectorXd mean_of_class(const Tensor& keys, const std::vector<int32_t>& classes, int32_t k);

class PatchCl : public SemiSupervised {
 public:
  PatchCl();
  void resolve(const RunShape& run) override;
  void declare(ParamLayout& layout, const UNetConfig& config) override;
  void save(TensorFile& file) const override;
  void load(const TensorFile& file) override;
  bool recordable() const override { return false; }  // the host draws patches
  bool measures(int64_t iteration) const override { return matched_ && matched_->due(iteration); }
  void see(const SharedGradients& norms) override { matched_->see(norms); }
  std::shared_ptr<const DrawnWindows> windows(const TrainState& s, const Batch& b) override;
  std::vector<NamedPicture> pictures(
      const TrainState& s, const Batch& b, const std::vector<std::string>& class_names) override;

 protected:
  Var contrast(Step& step, const Passes& passes) override;
  double contrast_weight(const TrainState& s) const override;
  bool contrast_ramps() const override { return o_.ramped; }

  // The parts of contrast(), in their order. Tests put known patches and moments in place of drawn ones.
  virtual Patches draw_patches(const Step& step, const Tensor& target);
  // The teacher's embeddings, (n + m,D) on the host; the first n are pushed to the queues.
  virtual Tensor enqueue(Step& step, const Patches& patches);
  // Moments of the queues and of the hard negatives that they and the step's own embeddings give: `anchors`,
  // (n,D) on the host, of these classes.
  virtual ClassStatistics statistics(
      Step& step, const Tensor& anchors, const std::vector<int32_t>& classes) const;
  virtual Regions draw_regions(const Step& step, const Tensor& target, const Tensor& mixed, uint32_t site);
  // The embeddings as f32 on the host, in the queues of their classes.
  virtual Tensor push(Step& step, const Tensor& embeddings, const std::vector<int32_t>& classes);
  Tensor teacher_embeddings(Step& step, const Tensor& patches, const Tensor& attention) const;
  // The loss of the student's embeddings; keys are the teacher's.
  Var against_classes(Step& step, const Var& embeddings, const std::vector<int32_t>& classes,
      const Tensor& keys, const std::vector<int32_t>& classes_of_keys);
  // Boserup and Selvan's loss (METHODS 1.3) of the first n windows' embeddings with the keys of all.
  Var intra_inter(Step& step, const Var& embeddings, const Patches& patches, const Tensor& keys) const;
  // InfoNCE against the queues and, for each class, the windows of the step that do not show it.
  Var against_queue_and_absent(
      Step& step, const Var& embeddings, const Patches& patches, const Tensor& keys) const;
  virtual bool ready(int64_t k) const { return queue_->size(k) >= o_.queue_ready; }

 private:
  bool enough_classes(const Step& step) const;
  // InfoNCE's positives of regions: of each anchor the direction of its class's mean key in this step.
  Tensor class_directions(const Step& step, const Tensor& keys, const std::vector<int32_t>& classes_of_keys,
      const std::vector<int32_t>& classes) const;
  Var region_contrast(Step& step, const Passes& passes);
  int64_t budget() const { return o_.patches_per_class * classes_; }
  // The windows of a step; moves the filter's threshold.
  SampledPatches sample(const Step& step, const PatchImages& batch, uint32_t site, AreaFilter& filter) const;
  // The teacher's embeddings of windows of labelled and unlabelled images, pushed to the queues.
  Tensor enqueue_regions(Step& step, const Tensor& unlabeled_map, const Regions& looked);
  void pool_covariances(std::vector<Moments>& moments) const;
  Var embed(Step& step, const ParamStore& weights, const Var& patches, const Tensor& attention,
      bool training) const;
  // The newest embeddings of the queues that are ready, (n,D), and their classes; -1 where there is none.
  struct Negatives {
    Tensor rows, classes;
  };
  Negatives queue_negatives() const;
  Var against_queue(Step& step, const Var& embeddings, const Var& classes, const Tensor& keys) const;

  ContrastOptions o_;
  int64_t classes_ = 0;
  std::unique_ptr<ProjectionHead> head_;
  std::unique_ptr<EmbeddingQueue> queue_;
  std::unique_ptr<AreaFilter> filter_;
  std::unique_ptr<MatchedWeight> matched_;  // with --contrast-match
};

}  // namespace patchcl
