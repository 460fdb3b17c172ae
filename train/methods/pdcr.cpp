#include "train/methods/pdcr.h"

#include <algorithm>
#include <cmath>

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
const Names<SideUnit> kSideUnits = in_order<SideUnit>({"map", "mask"});
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

void encode_position(double y, double x, std::span<float> e) {
  const size_t half = e.size() / 2;
  for (size_t c = 0; c < e.size(); ++c) {
    const size_t k = c < half ? c : c - half;
    const double angle = (c < half ? y : x) * std::pow(1e4, -2. * double(k / 2) / double(half));
    e[c] = float(k % 2 == 0 ? std::sin(angle) : std::cos(angle));
  }
}

void Pdcr::declare(OptionList& o, bool unlabeled) {
  o.group("PDCR (Li et al. 2022), beside the supervised loss");
  o.add("pdcr", encoder_, "Weight on the encoder's maps; published: 0.01 to 0.1; 0: none", kNotNegative);
  o.add("pdcr-decoder", decoder_, "Weight on the decoder's maps", kNotNegative);
  o.add("pdcr-cross", cross_, "Weight between maps of two of the encoder's levels", kNotNegative);
  o.add("pdcr-levels", levels_,
      "Levels of the encoder whose maps take part, and their pairs; 0 is the finest",
      Range{0, kMostLevels - 1});
  o.add("pdcr-decoder-levels", decoder_numbers_, "Levels of the decoder whose maps take part",
      Range{0, kMostLevels - 1});
  o.choose("pdcr-patch", side_, kPatchSides, "A patch is a vector's receptive field, or has these sides:");
  o.add("pdcr-sides", sides_, "Sides of patches", Range{1, 1 << 14});
  o.choose("pdcr-side-unit", side_unit_, kSideUnits, "In pixels of the map, or of the mask as published");
  o.choose(
      "pdcr-average", average_, kAverages, "Over the sides: of their losses, or of what they show first");
  o.choose("pdcr-form", contrast_.form, kForms, "Of the loss");
  o.choose("pdcr-affinity", contrast_.affinity, kAffinities,
      "How alike patches are: shares of foreground, total variation of all classes, Dice of masks");
  o.add(
      "pdcr-reversed", contrast_.reversed, "Affinity and divergence exchanged, as in the published 2-D code");
  o.add("pdcr-position", position_, "Vectors also say where their patch lies");
  o.add("pdcr-tau", contrast_.tau, "Temperature", kPositive);
  o.add("pdcr-vectors", vectors_, "Most vectors of a map", Range{2, 1 << 16});
  o.add("pdcr-width", width_, "Numbers of a projected vector between levels", at_least(1));
  if (!unlabeled) return;
  o.add("pdcr-unlabeled", unlabeled_, "On unlabelled images too, by pseudo-labels");
  o.add("pdcr-confidence", confidence_,
      "Mean confidence of a pseudo-labelled patch that counts; with --mix the share of its pixels that "
      "--confidence keeps",
      kShare);
}

void Pdcr::resolve(const OptionList& o) const {
  if (!on())
    o.forbid({"pdcr-levels", "pdcr-decoder-levels", "pdcr-patch", "pdcr-sides", "pdcr-side-unit",
                 "pdcr-average", "pdcr-form", "pdcr-affinity", "pdcr-reversed", "pdcr-position", "pdcr-tau",
                 "pdcr-vectors", "pdcr-width", "pdcr-unlabeled", "pdcr-confidence"},
        "without --pdcr, --pdcr-decoder or --pdcr-cross");
  if (side_ == PatchSide::field)
    o.forbid({"pdcr-sides", "pdcr-side-unit", "pdcr-average"}, "with --pdcr-patch field");
  if (decoder_ == 0) o.forbid({"pdcr-decoder-levels"}, "without --pdcr-decoder");
  if (cross_ == 0) o.forbid({"pdcr-width"}, "without --pdcr-cross");
  if (contrast_.form != AffinityForm::contrastive)
    o.forbid({"pdcr-tau", "pdcr-reversed"}, "with --pdcr-form l1 or l2");
  if (!unlabeled_) o.forbid({"pdcr-confidence"}, "without --pdcr-unlabeled");
}

std::vector<Pdcr::Level> Pdcr::levels_of(
    const std::vector<int>& numbers, const std::vector<ReceptiveField>& fields) {
  std::vector<Level> all;
  for (const int l : numbers)
    if (size_t(l) < fields.size()) all.push_back({l, fields[size_t(l)]});
  return all;
}

void Pdcr::declare(ParamLayout& layout, const UNetConfig& config) {
  if (!on()) return;
  classes_ = config.classes;
  encoder_levels_ = levels_of(levels_, encoder_fields(config));
  decoder_levels_ = levels_of(decoder_numbers_, decoder_fields(config));
  const size_t least = cross_ > 0 ? 2 : 1;
  if ((encoder_ + cross_ > 0 && encoder_levels_.size() < least) || (decoder_ > 0 && decoder_levels_.empty()))
    fail(ExitCode::usage, "options",
        "--pdcr-levels or --pdcr-decoder-levels names no level of this network of ", config.widths.size(),
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
  const int64_t unit = side_unit_ == SideUnit::map ? field.jump : 1;
  for (const int s : sides_) all.push_back(s * unit);
  return all;
}

// Label maps as patches see them, one for each image.
std::vector<LabelView> Pdcr::views(const SeenLabels& seen) const {
  const Shape& s = seen.labels.shape();
  std::vector<LabelView> all;
  for (int64_t image = 0; image < s[0]; ++image) {
    const int64_t at = image * s[1] * s[2];
    const float* confidence = seen.confidence ? seen.confidence.data<float>() + at : nullptr;
    all.emplace_back(seen.labels.data<uint8_t>() + at, confidence, s[1], s[2], classes_);
  }
  return all;
}

// v/|v| + e/|e|: what a vector is and where it lies, in equal parts.
Var Pdcr::placed(Step& step, const Var& rows, const PatchGrid& grid, int64_t jump, int64_t images) const {
  if (!position_) return rows;
  const Tensor code = Arena("pdcr").empty(rows.shape(), DType::f32);
  const int64_t C = rows.shape()[1];
  for (int64_t i = 0; i < images * grid.size(); ++i) {
    const int64_t at = i % grid.size();
    float* const e = code.data<float>() + i * C;
    encode_position(double(grid.y(at) * jump), double(grid.x(at) * jump), {e, size_t(C)});
  }
  const Var e = l2_normalize(step.upload(code, "positions"));
  return add(l2_normalize(rows), e);  // EQ: 3.2 position encoding
}

// The vectors of a map on a grid whose phase is drawn anew at each step, and their patches.
Pdcr::Vectors Pdcr::vectors(Step& step, const Var& map, const Level& level, int64_t images,
    const std::vector<LabelView>& views) const {
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
  const Var rows = gather_rows(reshape(widened(map), {s.rows(), s[3]}), step.upload(index, "grid"));
  Vectors v{placed(step, rows, grid, level.field.jump, images), {}};
  const std::vector<int64_t> all = sides(level.field);
  if (average_ == SideAverage::ratio) v.patches.push_back(show(step, grid, level.field, all, images, views));
  else
    for (const int64_t side : all) v.patches.push_back(show(step, grid, level.field, {side}, images, views));
  return v;
}

// phi and valid of the patches of some sides, averaged over them.
Pdcr::ShownPatches Pdcr::show(Step& step, const PatchGrid& grid, const ReceptiveField& field,
    const std::vector<int64_t>& sides, int64_t images, const std::vector<LabelView>& views) const {
  const int64_t n = grid.size(), K = description_size(contrast_.affinity, classes_);
  const Arena host("pdcr");
  const Tensor phi = host.empty({images, n, K}, DType::f32), valid = host.empty({images, n}, DType::f32);
  const double share = 1 / double(sides.size());
  step.work([&] {
    parallel_for(images, [&](int64_t image) {
      const LabelView& view = views[size_t(image)];
      for (int64_t i = 0; i < n; ++i) {
        float* to = phi.data<float>() + (image * n + i) * K;
        std::fill_n(to, K, 0.f);
        double sure = 0;
        for (const int64_t side : sides) {
          view.describe(contrast_.affinity, field, side, grid.y(i), grid.x(i), share, to);
          sure += share * view.confidence(field, side, grid.y(i), grid.x(i));
        }
        valid.data<float>()[image * n + i] = !view.has_confidence() || sure >= confidence_ ? 1 : 0;
      }
    });
  });
  return {step.upload(phi, "what patches show"), step.upload(valid, "patches that count")};
}

// (B n,C) -> (B,n,C), each of length 1.
Var Pdcr::in_unit_length(const Var& rows, int64_t images) {
  return reshape(l2_normalize(rows), {images, rows.shape()[0] / images, rows.shape()[1]});
}

Var Pdcr::contrast(const Var& f, const Vectors& p, const Var& g, const Vectors& q) const {
  std::vector<Var> losses;
  for (size_t i = 0; i < p.patches.size(); ++i)
    losses.push_back(affinity_contrast(
        {f, p.patches[i].phi, p.patches[i].valid}, {g, q.patches[i].phi, q.patches[i].valid}, contrast_));
  return mean_of(losses);
}

Var Pdcr::of_levels(const std::vector<Vectors>& all, int64_t images) const {
  std::vector<Var> losses;
  for (const Vectors& v : all) {
    const Var f = in_unit_length(v.rows, images);
    losses.push_back(contrast(f, v, f, v));
  }
  return mean_of(losses);
}

Var Pdcr::of_pairs(Step& step, const std::vector<Vectors>& all, int64_t images) const {
  Pass pass(step.tape, *step.s.student, /*training=*/true, step.s.rng, site::pdcr);
  std::vector<Var> projected, losses;
  for (size_t i = 0; i < all.size(); ++i) {
    const Projection& p = projections_[i];
    projected.push_back(in_unit_length(relu(p.norm(pass, p.linear(pass, all[i].rows))), images));
  }
  for (size_t a = 0; a < all.size(); ++a)
    for (size_t b = a + 1; b < all.size(); ++b)
      losses.push_back(contrast(projected[a], all[a], projected[b], all[b]));
  return mean_of(losses);
}

Var Pdcr::add_to(const Var& total, Step& step, const UNet::Output& maps, const SeenLabels& seen) const {
  if (!on()) return total;
  const int64_t images = seen.labels.shape()[0];
  std::vector<LabelView> views;
  step.work([&] { views = this->views(seen); });
  std::vector<Vectors> encoder, decoder;
  if (encoder_ + cross_ > 0)
    for (const Level& l : encoder_levels_)
      encoder.push_back(vectors(step, maps.encoder[size_t(l.number)], l, images, views));
  if (decoder_ > 0)
    for (const Level& l : decoder_levels_)
      decoder.push_back(
          vectors(step, maps.decoder[maps.decoder.size() - 1 - size_t(l.number)], l, images, views));
  Var sum = total;
  const auto take = [&](double weight, const char* name, auto loss_of) {
    if (weight == 0) return;
    const Var loss = loss_of();
    step.log.terms.push_back({name, loss});
    sum = add(sum, affine(loss, weight));  // EQ: 3.6 objective
  };
  take(encoder_, "pdcr", [&] { return of_levels(encoder, images); });
  take(decoder_, "pdcr_decoder", [&] { return of_levels(decoder, images); });
  take(cross_, "pdcr_cross", [&] { return of_pairs(step, encoder, images); });
  return sum;
}

}  // namespace patchcl
