// PDCR, patch dragsaw contrastive regularisation (Li et al., TMI 2022; METHODS 3.2), beside
// any supervised loss:
//
//   L + l_enc mean L_encoder + l_dec mean L_decoder + l_x mean L_cross    over levels, or pairs of levels
// each an affinity_contrast.h of the vectors on a grid of a map, whose patches of the label map are their
// receptive fields, or have sides 5, 7, 9 of pixels of the map or the mask around the field's centre. For a
// pair of levels both are projected to one width: linear - batch norm - ReLU. On unlabelled images the
// teacher's pseudo-labels stand in for the mask, and patches of low mean confidence are left out (ours,
// METHODS 3.6); where images were mixed confidence is 0 or 1.
// With --pdcr-position a vector also says where its patch lies: the paper's table has a position encoding, no
// released code; ours adds the sines of a transformer, both parts of length 1 (METHODS 3.2).
// Left out: the projection by strided convolutions of the 2-D code: the norm here sees the vectors of the
// grid, not the whole map.
#pragma once
#include <span>

#include "layers/parts.h"
#include "train/methods/patch_ratios.h"
#include "train/methods/step.h"

namespace patchcl {

enum class PatchSide { field, hierarchy };
enum class SideUnit { map, mask };       // whose pixels sides count
enum class SideAverage { loss, ratio };  // of the losses of several sides, or of what they show

// The label maps of the first n images of a step, on the host.
struct SeenLabels {
  Tensor labels;      // u8 (n,H,W)
  Tensor confidence;  // f32 (n,H,W) in [0,1]; empty: all 1
};

// Where something lies, y and x in pixels: e_2k = sin(y w_k), e_2k+1 = cos(y w_k) in the first half of e, the
// same of x in the second; w_k = 10^(-16k/C) of C numbers (METHODS 3.2).
void encode_position(double y, double x, std::span<float> e);

class Pdcr {
 public:
  // `unlabeled`: the method has pseudo-labels.
  void declare(OptionList& options, bool unlabeled);
  // Error(usage) for options that would have no effect.
  void resolve(const OptionList& options) const;
  void declare(ParamLayout& layout, const UNetConfig& config);
  bool on() const { return encoder_ > 0 || decoder_ > 0 || cross_ > 0; }
  bool unlabeled() const { return unlabeled_; }
  // `total` and what PDCR adds to it, of the maps of the images that the student saw.
  Var add_to(const Var& total, Step& step, const UNet::Output& maps, const SeenLabels& seen) const;

 private:
  struct Level {
    int64_t number;
    ReceptiveField field;
  };
  struct ShownPatches {
    Var phi, valid;  // as affinity_contrast.h takes them
  };
  struct Vectors {
    Var rows;                           // (B n,C)
    std::vector<ShownPatches> patches;  // of each side, or of all at once
  };
  struct Projection {
    LinearLayer linear;
    NormLayer norm;
  };

  static std::vector<Level> levels_of(
      const std::vector<int>& numbers, const std::vector<ReceptiveField>& fields);
  std::vector<int64_t> sides(const ReceptiveField& field) const;
  std::vector<LabelView> views(const SeenLabels& seen) const;
  Vectors vectors(Step& step, const Var& map, const Level& level, int64_t images,
      const std::vector<LabelView>& views) const;
  Var placed(Step& step, const Var& rows, const PatchGrid& grid, int64_t jump, int64_t images) const;
  ShownPatches show(Step& step, const PatchGrid& grid, const ReceptiveField& field,
      const std::vector<int64_t>& sides, int64_t images, const std::vector<LabelView>& views) const;
  static Var in_unit_length(const Var& rows, int64_t images);
  Var contrast(const Var& f, const Vectors& p, const Var& g, const Vectors& q) const;
  Var of_levels(const std::vector<Vectors>& all, int64_t images) const;
  Var of_pairs(Step& step, const std::vector<Vectors>& all, int64_t images) const;

  double encoder_ = 0, decoder_ = 0, cross_ = 0;
  std::vector<int> levels_{1, 2, 3, 4}, decoder_numbers_{1, 2, 3, 4}, sides_{5, 7, 9};
  PatchSide side_ = PatchSide::field;
  SideUnit side_unit_ = SideUnit::map;
  SideAverage average_ = SideAverage::loss;
  AffinityContrastOptions contrast_;
  int64_t vectors_ = 256, width_ = 128;
  bool position_ = false, unlabeled_ = false;
  double confidence_ = 0.75;
  int64_t classes_ = 0;
  std::vector<Level> encoder_levels_, decoder_levels_;
  std::vector<Projection> projections_;  // of encoder_levels_
};

}  // namespace patchcl
