// Contrastive pre-training, then fine-tuning (Hu et al., MICCAI 2021; METHODS 2): up to three phases, each a
// share of the run.
//
//   global       the encoder on all slices, labels unread: two views that differ in geometry and intensity
//                attract (NT-Xent, which is info_nce.h with the other view as key; or BYOL, or SimSiam)
//   local        the whole network on labelled slices: pixels of one label attract (pixel_contrast.h), in
//                two views that differ in intensity only; or, self-supervised, pixels of one position
//   fine-tuning  the supervised loss; the heads take no part any more
// Each phase starts the optimiser anew. A share of 0 leaves a phase out; shares that add up to 1 leave out
// fine-tuning: weights for other runs to start from.
#pragma once
#include <optional>

#include "losses/pixel_contrast.h"
#include "train/methods/averaged_teacher.h"

namespace patchcl {

// Two linear layers on rows, (n,in) -> (n,out) of length 1; `relu` or nothing between them.
class ContrastHead {
 public:
  // Declares "NAME.0" and "NAME.2", as torch.nn.Sequential counts.
  ContrastHead(
      ParamLayout& layout, const std::string& name, int64_t in, int64_t hidden, int64_t out, bool relu);
  Var operator()(Pass& pass, const Var& rows) const;

 private:
  std::string name_;
  bool relu_;
  LinearLayer first_, last_;
};

// Guesses the embedding of the other view, rows (n,D) -> (n,D) of length 1: linear - batch norm - ReLU -
// linear (BYOL, SimSiam).
class ViewPredictor {
 public:
  ViewPredictor(ParamLayout& layout, const std::string& name, int64_t dimension);
  Var operator()(Pass& pass, const Var& rows) const;

 private:
  std::string name_;
  LinearLayer first_;
  NormLayer norm_;
  LinearLayer last_;
};

enum class PixelSelection { stride, block };  // every s-th pixel; all pixels, within blocks
enum class CandidateScope { batch, image };   // whose pixels are compared, in both views
enum class PixelLabels { truth, position };   // what makes pixels positives
enum class HeadTraining { trained, random };  // random: as the released code leaves the global head
enum class GlobalForm { nt_xent, byol, simsiam };

// Which pixels of a batch are compared with which.
struct PixelPlan {
  PixelSelection selection = PixelSelection::stride;
  int64_t stride = 4, block = 16;
  CandidateScope scope = CandidateScope::batch;

  // Indices into (2n,H,W), where image i + n is the other view of i: all pixels of one group, then the next;
  // groups of equal size. Error(usage) unless H and W are multiples of the stride or block.
  struct Groups {
    std::vector<int32_t> index;
    int64_t count;
  };
  Groups groups(int64_t n, int64_t height, int64_t width) const;
};

class LocalContrast final : public AveragedTeacher {
 public:
  LocalContrast();
  bool has_teacher() const override { return form_ == GlobalForm::byol && global_share_ > 0; }
  void resolve(const RunShape& run) override;
  std::vector<Phase> phases(const RunShape& run) const override;
  void declare(ParamLayout& layout, const UNetConfig& config) override;
  Var loss(Tape& tape, const TrainState& s, const Batch& b, LossTerms& log) override;

 protected:
  bool averages(const TrainState& s) const override;

 private:
  enum class Stage { global, local, fine_tuning };
  struct StagePlan {
    Stage stage;
    int64_t iterations;
  };
  std::vector<StagePlan> stages(const RunShape& run) const;
  Phase phase_of(const StagePlan& plan, const RunShape& run, int64_t begin) const;
  Var embedded(Step& step, Pass& pass) const;
  Var global_loss(Step& step) const;
  Var predictive(Step& step, Pass& pass, const Var& z) const;
  Var local_loss(Step& step) const;

  double global_share_ = 0.3, local_share_ = 0.3, global_lr_ = 0, local_lr_ = 0;
  std::optional<Augmentation> global_augment_, local_augment_;  // empty: the run's
  double global_tau_ = 0.5;
  int64_t dimension_ = 128, hidden_ = 64;
  bool relu_ = false;
  GlobalForm form_ = GlobalForm::nt_xent;
  HeadTraining global_head_training_ = HeadTraining::trained;
  PixelLabels labels_ = PixelLabels::truth;
  PixelPlan pixels_;
  PixelContrastOptions contrast_;
  std::vector<StagePlan> stages_;
  std::optional<ContrastHead> global_head_, local_head_;
  std::optional<ViewPredictor> predictor_;
};

}  // namespace patchcl
