#include "train/methods/pdcr.h"

#include <algorithm>

#include "autograd/ops/arith.h"
#include "autograd/ops/cast.h"
#include "autograd/ops/gather.h"
#include "autograd/ops/l2_normalize.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/shape.h"
#include "tensor/parallel.h"

namespace patchcl {

namespace {
const Names<PatchSide> kPatchSides = in_order<PatchSide>({"field", "hierarchy"});
const Names<SideAverage> kAverages = in_order<SideAverage>({"loss", "ratio"});
const Names<AffinityForm> kForms = in_order<AffinityForm>({"contrastive", "l1", "l2"});
const Names<Affinity> kAffinities = in_order<Affinity>({"ratio", "variation", "dice"});

// The mean of some losses.
Var mean_of(const std::vector<Var>& losses) {
  Var sum = losses[0];
  for (size_t i = 1; i < losses.size(); ++i) sum = add(sum, losses[i]);
  return affine(sum, 1 / double(losses.size()));
}
}  // namespace

void Pdcr::declare(OptionList& o, bool unlabeled) {
  o.group("PDCR (Li et al. 2022), beside the supervised loss");
  o.add("pdcr", encoder_, "Weight on the encoder's maps; published: 0.01 to 0.1; 0: none", kNotNegative);
  o.add("pdcr-decoder", decoder_, "Weight on the decoder's maps", kNotNegative);
  o.add("pdcr-cross", cross_, "Weight between maps of two of the encoder's levels", kNotNegative);
  o.add("pdcr-levels", levels_, "Levels whose maps take part; 0 is the finest", Range{0, 11});
  o.choose("pdcr-patch", side_, kPatchSides, "A patch is a vector's receptive field, or has these sides:");
  o.add("pdcr-sides", sides_, "Sides of patches in pixels of the map", Range{1, 1 << 14});
  o.choose(
      "pdcr-average", average_, kAverages, "Over the sides: of their losses, or of what they show first");
  o.choose("pdcr-form", contrast_.form, kForms, "Of the loss");
  o.choose("pdcr-affinity", contrast_.affinity, kAffinities,
      "How alike patches are: shares of foreground, total variation of all classes, Dice of masks");
  o.add(
      "pdcr-reversed", contrast_.reversed, "Affinity and divergence exchanged, as in the published 2-D code");
  o.add("pdcr-tau", contrast_.tau, "Temperature", kPositive);
  o.add("pdcr-vectors", vectors_, "Most vectors of a map", Range{2, 1 << 16});
  o.add("pdcr-width", width_, "Numbers of a projected vector between levels", at_least(1));
  if (!unlabeled) return;
  o.add("pdcr-unlabeled", unlabeled_, "On unlabelled images too, by pseudo-labels");
  o.add("pdcr-confidence", confidence_, "Mean confidence of a pseudo-labelled patch that counts", kShare);
}

void Pdcr::resolve(const OptionList& o) const {
  if (!on())
    o.forbid(
        {"pdcr-levels", "pdcr-patch", "pdcr-sides", "pdcr-average", "pdcr-form", "pdcr-affinity",
            "pdcr-reversed", "pdcr-tau", "pdcr-vectors", "pdcr-width", "pdcr-unlabeled", "pdcr-confidence"},
        "without --pdcr, --pdcr-decoder or --pdcr-cross");
  if (side_ == PatchSide::field) o.forbid({"pdcr-sides", "pdcr-average"}, "with --pdcr-patch field");
  if (cross_ == 0) o.forbid({"pdcr-width"}, "without --pdcr-cross");
  if (contrast_.form != AffinityForm::contrastive)
    o.forbid({"pdcr-tau", "pdcr-reversed"}, "with --pdcr-form l1 or l2");
  if (!unlabeled_) o.forbid({"pdcr-confidence"}, "without --pdcr-unlabeled");
}

std::vector<Pdcr::Level> Pdcr::levels_of(const std::vector<ReceptiveField>& fields) const {
  std::vector<Level> all;
  for (const int l : levels_)
    if (size_t(l) < fields.size()) all.push_back({l, fields[size_t(l)]});
  return all;
}

void Pdcr::declare(ParamLayout& layout, const UNetConfig& config) {
  if (!on()) return;
  classes_ = config.classes;
  encoder_levels_ = levels_of(encoder_fields(config));
  decoder_levels_ = levels_of(decoder_fields(config));
  const size_t least = cross_ > 0 ? 2 : 1;
  if ((encoder_ + cross_ > 0 && encoder_levels_.size() < least) || (decoder_ > 0 && decoder_levels_.empty()))
    fail(ExitCode::usage, "options", "--pdcr-levels names no level of this network of ", config.widths.size(),
        ", or only one with --pdcr-cross; give some of 0 .. ", config.widths.size() - 1);
  projections_.clear();
  for (size_t i = 0; cross_ > 0 && i < encoder_levels_.size(); ++i) {
    const int64_t level = encoder_levels_[i].number;
    const std::string name = "pdcr.level" + std::to_string(level);
    const LinearLayer linear(layout, name + ".0", config.widths[size_t(level)], width_);
    projections_.push_back({linear, NormLayer(layout, name + ".1", width_)});
  }
}

std::vector<int64_t> Pdcr::sides(const ReceptiveField& field) const {
  if (side_ == PatchSide::field) return {field.side};
  std::vector<int64_t> all;
  for (const int s : sides_) all.push_back(s * field.jump);
  return all;
}

// The vectors of a map on a grid whose phase is drawn anew at each step.
Pdcr::Vectors Pdcr::vectors(Step& step, const Var& map, const Level& level, int64_t images) const {
  const Shape s = map.shape();
  PatchGrid grid(s[1], s[2], vectors_);
  Rng rng = step.host_rng(site::pdcr + uint32_t(level.number));
  grid.phase_y = int64_t(rng.below(uint64_t(s[1] - (grid.rows - 1) * grid.step)));
  grid.phase_x = int64_t(rng.below(uint64_t(s[2] - (grid.columns - 1) * grid.step)));
  const Tensor index = Arena("pdcr").empty({images * grid.size()}, DType::i32);
  for (int64_t i = 0; i < index.numel(); ++i) {
    const int64_t image = i / grid.size(), at = i % grid.size();
    index.data<int32_t>()[i] = int32_t((image * s[1] + grid.y(at)) * s[2] + grid.x(at));
  }
  const Var wide = cast(map, precise(map.dtype()));
  return {gather_rows(reshape(wide, {s.rows(), s[3]}), step.upload(index, "grid")), grid, level};
}

// phi and valid of the patches of one side, or of all at once.
void Pdcr::describe(
    const Vectors& v, const SeenLabels& seen, size_t side, const Tensor& phi, const Tensor& valid) const {
  const Shape& s = seen.labels.shape();
  const int64_t n = v.grid.size(), K = phi.shape()[2], pixels = s[1] * s[2];
  const std::vector<int64_t> all = sides(v.level.field);
  const bool together = average_ == SideAverage::ratio;
  const size_t begin = together ? 0 : side, end = together ? all.size() : side + 1;
  parallel_for(s[0], [&](int64_t image) {
    const float* confidence = seen.confidence ? seen.confidence.data<float>() + image * pixels : nullptr;
    const LabelView view(seen.labels.data<uint8_t>() + image * pixels, confidence, s[1], s[2], classes_);
    for (int64_t i = 0; i < n; ++i) {
      float* to = phi.data<float>() + (image * n + i) * K;
      std::fill_n(to, K, 0.f);
      double sure = 0;
      for (size_t k = begin; k < end; ++k) {
        const double share = 1 / double(end - begin);
        view.describe(contrast_.affinity, v.level.field, all[k], v.grid.y(i), v.grid.x(i), share, to);
        sure += share * view.confidence(v.level.field, all[k], v.grid.y(i), v.grid.x(i));
      }
      valid.data<float>()[image * n + i] = !seen.confidence || sure >= confidence_ ? 1 : 0;
    }
  });
}

AffinityFeatures Pdcr::features(
    Step& step, const Var& f, const Vectors& v, const SeenLabels& seen, size_t side) const {
  const int64_t images = seen.labels.shape()[0], n = v.grid.size();
  const Arena host("pdcr");
  const Tensor phi = host.empty({images, n, description_size(contrast_.affinity, classes_)}, DType::f32);
  const Tensor valid = host.empty({images, n}, DType::f32);
  step.work([&] { describe(v, seen, side, phi, valid); });
  return {f, step.upload(phi, "what patches show"), step.upload(valid, "patches that count")};
}

Var Pdcr::in_unit_length(const Vectors& v, int64_t images, Pass* projecting) const {
  Var rows = v.rows;
  if (projecting) {
    const auto same = [&](const Level& l) { return l.number == v.level.number; };
    const auto level = std::find_if(encoder_levels_.begin(), encoder_levels_.end(), same);
    const Projection& p = projections_[size_t(level - encoder_levels_.begin())];
    rows = relu(p.norm(*projecting, p.linear(*projecting, rows)));
  }
  return reshape(l2_normalize(rows), {images, v.grid.size(), rows.shape()[1]});
}

Var Pdcr::contrast(
    Step& step, const Vectors& p, const Vectors& q, const SeenLabels& seen, Pass* projecting) const {
  const int64_t images = seen.labels.shape()[0];
  const bool same = &p == &q, together = average_ == SideAverage::ratio;
  const Var f = in_unit_length(p, images, projecting);
  const Var g = same ? f : in_unit_length(q, images, projecting);
  std::vector<Var> losses;
  for (size_t side = 0; side < (together ? 1 : sides(p.level.field).size()); ++side) {
    const AffinityFeatures a = features(step, f, p, seen, side);
    losses.push_back(affinity_contrast(a, same ? a : features(step, g, q, seen, side), contrast_));
  }
  return mean_of(losses);
}

Var Pdcr::of_levels(Step& step, const std::vector<Vectors>& all, const SeenLabels& seen) const {
  std::vector<Var> losses;
  for (const Vectors& v : all) losses.push_back(contrast(step, v, v, seen, nullptr));
  return mean_of(losses);
}

Var Pdcr::of_pairs(Step& step, const std::vector<Vectors>& all, const SeenLabels& seen) const {
  Pass pass(step.tape, *step.s.student, /*training=*/true, step.s.rng, site::pdcr);
  std::vector<Var> losses;
  for (size_t a = 0; a < all.size(); ++a)
    for (size_t b = a + 1; b < all.size(); ++b) losses.push_back(contrast(step, all[a], all[b], seen, &pass));
  return mean_of(losses);
}

Var Pdcr::add_to(const Var& total, Step& step, const UNet::Output& maps, const SeenLabels& seen) const {
  if (!on()) return total;
  const int64_t images = seen.labels.shape()[0];
  std::vector<Vectors> encoder, decoder;
  for (const Level& l : encoder_levels_)
    encoder.push_back(vectors(step, maps.encoder[size_t(l.number)], l, images));
  for (const Level& l : decoder_levels_)
    if (decoder_ > 0)
      decoder.push_back(vectors(step, maps.decoder[maps.decoder.size() - 1 - size_t(l.number)], l, images));
  Var sum = total;
  const auto take = [&](double weight, const char* name, auto loss_of) {
    if (weight == 0) return;
    const Var loss = loss_of();
    step.log.terms.push_back({name, loss});
    sum = add(sum, affine(loss, weight));  // EQ: 3.6 objective
  };
  take(encoder_, "pdcr", [&] { return of_levels(step, encoder, seen); });
  take(decoder_, "pdcr_decoder", [&] { return of_levels(step, decoder, seen); });
  take(cross_, "pdcr_cross", [&] { return of_pairs(step, encoder, seen); });
  return sum;
}

}  // namespace patchcl
