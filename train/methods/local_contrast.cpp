#include "train/methods/local_contrast.h"

#include "autograd/ops/cast.h"
#include "autograd/ops/gather.h"
#include "autograd/ops/global_avg_pool.h"
#include "autograd/ops/l2_normalize.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/shape.h"
#include "losses/consistency.h"
#include "losses/info_nce.h"

namespace patchcl {

namespace {

AddMethod local_contrast{{50, "local-contrast",
    "global, then supervised local contrast, then fine-tuning (Hu et al. 2021)", make<LocalContrast>}};

const Names<ContrastForm> kForms{{"released", ContrastForm::released}, {"paper", ContrastForm::paper}};
const Names<ContrastDenominator> kDenominators{
    {"all", ContrastDenominator::all}, {"negatives", ContrastDenominator::negatives}};
const Names<PixelSelection> kSelections{{"stride", PixelSelection::stride}, {"block", PixelSelection::block}};
const Names<CandidateScope> kScopes{{"batch", CandidateScope::batch}, {"image", CandidateScope::image}};
const Names<PixelLabels> kPixelLabels{{"truth", PixelLabels::truth}, {"position", PixelLabels::position}};
const Names<GlobalForm> kGlobalForms{
    {"nt-xent", GlobalForm::nt_xent}, {"byol", GlobalForm::byol}, {"simsiam", GlobalForm::simsiam}};
const Names<HeadTraining> kHeadTraining{{"trained", HeadTraining::trained}, {"random", HeadTraining::random}};

constexpr ViewKind kOtherColours{.look = Look::recoloured};
constexpr ViewKind kOtherView{.look = Look::recoloured, .own_geometry = true};

Tensor integers(const Shape& shape) { return Arena("contrast").empty(shape, DType::i32); }

// Row i of 2n is view i / n of image i % n: the image, or the other view.
Tensor pair_rows(int64_t n, int64_t ahead) {
  const Tensor rows = integers({2 * n});
  for (int64_t i = 0; i < 2 * n; ++i) rows.data<int32_t>()[i] = int32_t(ahead ? (i + n) % (2 * n) : i % n);
  return rows;
}

// Both views of a batch, (2n,H,W,C).
Var two_views(const Step& step, size_t first, size_t second) {
  const std::vector<View>& v = step.b.views;
  return concat({step.tape.constant(v[first].images, "first view"),
                    step.tape.constant(v[second].images, "second view")},
      0);
}

}  // namespace

// --- heads and pixels -----------------------------------------------------------------------------------

ContrastHead::ContrastHead(
    ParamLayout& layout, const std::string& name, int64_t in, int64_t hidden, int64_t out, bool relu)
    : name_(name), relu_(relu), first_(layout, name + ".0", in, hidden),
      last_(layout, name + ".2", hidden, out) {}

Var ContrastHead::operator()(Pass& pass, const Var& rows) const {
  const Tape::Scope scope(pass.tape(), name_);
  const Var hidden = first_(pass, rows);
  return l2_normalize(last_(pass, relu_ ? relu(hidden) : hidden));
}

ViewPredictor::ViewPredictor(ParamLayout& layout, const std::string& name, int64_t dimension)
    : name_(name), first_(layout, name + ".0", dimension, dimension), norm_(layout, name + ".1", dimension),
      last_(layout, name + ".3", dimension, dimension) {}

Var ViewPredictor::operator()(Pass& pass, const Var& rows) const {
  const Tape::Scope scope(pass.tape(), name_);
  return l2_normalize(last_(pass, relu(norm_(pass, first_(pass, rows)))));
}

PixelPlan::Groups PixelPlan::groups(int64_t n, int64_t height, int64_t width) const {
  const bool blocks = selection == PixelSelection::block, by_image = scope == CandidateScope::image;
  const int64_t unit = blocks ? block : stride, step = blocks ? 1 : stride;
  if (height % unit || width % unit)
    fail(ExitCode::usage, "local-contrast", blocks ? "--block " : "--stride ", unit,
        " does not divide images of ", height, "x", width);
  const int64_t tile_h = blocks ? block : height, tile_w = blocks ? block : width;
  const int64_t across = width / tile_w, tiles = height / tile_h * across;
  Groups out{{}, tiles * (by_image ? n : 1)};
  for (int64_t g = 0; g < out.count; ++g) {
    const int64_t tile = g % tiles, top = tile / across * tile_h, left = tile % across * tile_w;
    for (int64_t image = 0; image < 2 * n; ++image) {
      if (by_image && image % n != g / tiles) continue;
      for (int64_t y = top; y < top + tile_h; y += step)
        for (int64_t x = left; x < left + tile_w; x += step)
          out.index.push_back(int32_t((image * height + y) * width + x));
    }
  }
  return out;
}

// --- the method -----------------------------------------------------------------------------------------

namespace {
Names<std::optional<Augmentation>> augmentations() {
  Names<std::optional<Augmentation>> names{{"run", std::nullopt}};
  for (const auto& [name, a] : in_order<Augmentation>(augmentation_names())) names.push_back({name, a});
  return names;
}
}  // namespace

LocalContrast::LocalContrast() {
  OptionList& o = options();
  o.group("Phases");
  o.add("global-share", global_share_, "Share of the run for global contrast; 0: none", kShare);
  o.add("local-share", local_share_, "Share of the run for local contrast; 0: none", kShare);
  o.add(
      "global-lr", global_lr_, "Learning rate of global contrast at its peak; 0: that of --lr", kNotNegative);
  o.add("local-lr", local_lr_, "Learning rate of local contrast at its peak; 0: that of --lr", kNotNegative);
  o.choose("global-augment", global_augment_, augmentations(),
      "Random changes of the images of global contrast; run: those of --augment");
  o.choose("local-augment", local_augment_, augmentations(),
      "Random changes of the images of local contrast; run: those of --augment");
  o.group("Contrast");
  o.choose("global-form", form_, kGlobalForms,
      "Of global contrast: against all other images, or a prediction of the other view, as an average of the "
      "network (byol) or the network itself (simsiam) sees it");
  o.add("ema", ema_, "Decay of the average that BYOL's prediction is compared with", kShare);
  o.add("global-tau", global_tau_, "Temperature of global contrast", kPositive);
  o.choose(
      "global-head", global_head_training_, kHeadTraining, "The head of global contrast; released: random");
  o.choose("pixels", pixels_.selection, kSelections, "Which pixels local contrast compares");
  o.add("stride", pixels_.stride, "Every so many pixels of both axes", at_least(1));
  o.add("block", pixels_.block, "Height and width of a block, in which all pixels are compared", at_least(1));
  o.choose("candidates", pixels_.scope, kScopes, "Whose pixels are compared with one of an image");
  o.choose("pixel-labels", labels_, kPixelLabels,
      "Positives have the label of a pixel, or (self-supervised) its position");
  o.choose("form", contrast_.form, kForms, "Of the local loss; the paper's has --denominator negatives");
  o.choose("denominator", contrast_.denominator, kDenominators, "What positives are measured against");
  o.add("tau", contrast_.tau, "Temperature of local contrast", kPositive);
  o.add("embedding", dimension_, "Numbers in an embedding", at_least(2));
  o.add("head-width", hidden_, "Numbers between the layers of the local head", at_least(1));
  o.add("head-relu", relu_, "A non-linearity between the layers of the heads");
}

void LocalContrast::resolve(const RunShape& run) {
  AveragedTeacher::resolve(run);
  if (global_share_ == 0)
    options().forbid({"global-form", "global-tau", "global-head", "global-lr", "global-augment"},
        "without --global-share");
  if (form_ != GlobalForm::nt_xent)
    options().forbid({"global-tau", "global-head"}, "with --global-form byol or simsiam");
  if (!has_teacher()) options().forbid({"ema"}, "without --global-form byol");
  if (local_share_ == 0)
    options().forbid({"local-lr", "local-augment", "pixels", "stride", "block", "candidates", "pixel-labels",
                         "form", "denominator", "tau", "head-width"},
        "without --local-share");
  if (pixels_.selection == PixelSelection::block) options().forbid({"stride"}, "with --pixels block");
  else options().forbid({"block"}, "without --pixels block");
  if (global_share_ + local_share_ > 1)
    fail(ExitCode::usage, "options", "--global-share ", global_share_, " and --local-share ", local_share_,
        " are more than the run; they may add up to 1");
  if (local_share_ > 0) pixels_.groups(1, run.size, run.size);
  stages_ = stages(run);
}

std::vector<LocalContrast::StagePlan> LocalContrast::stages(const RunShape& run) const {
  const auto part = [&](double share) { return int64_t(share * double(run.iterations) + 1e-9); };
  const int64_t global = part(global_share_);
  const bool all = global_share_ + local_share_ > 1 - 1e-9;  // then rounding leaves no step to fine-tuning
  const int64_t local = all ? run.iterations - global : part(local_share_);
  std::vector<StagePlan> plans;
  for (const StagePlan& p : {StagePlan{Stage::global, global}, StagePlan{Stage::local, local},
           StagePlan{Stage::fine_tuning, run.iterations - global - local}})
    if (p.iterations > 0) plans.push_back(p);
  return plans;
}

Phase LocalContrast::phase_of(const StagePlan& plan, const RunShape& run, int64_t begin) const {
  Phase p{.name = "fine-tuning",
      .iterations = plan.iterations,
      .labeled = run.batch,
      .rate = run.rate,
      .trains = {"encoder.", "decoder."},
      .keep_optimizer = false};
  p.rate.begin = begin;
  p.rate.length = plan.iterations;
  if (plan.stage == Stage::global) {
    p.name = "global contrast";
    p.labeled = 0;
    p.unlabeled = run.batch;
    p.views = {kOtherColours, kOtherView};
    p.trains = {"encoder."};
    if (form_ != GlobalForm::nt_xent) p.trains.push_back("predictor.");
    if (global_head_training_ == HeadTraining::trained) p.trains.push_back("global_head.");
    if (global_lr_ > 0) p.rate.peak = global_lr_;
    p.augment = global_augment_;
  } else if (plan.stage == Stage::local) {
    p.name = "local contrast";
    p.views = {{}, kOtherColours, kOtherColours};
    p.trains.push_back("local_head.");
    if (local_lr_ > 0) p.rate.peak = local_lr_;
    p.augment = local_augment_;
  }
  return p;
}

std::vector<Phase> LocalContrast::phases(const RunShape& run) const {
  std::vector<Phase> all;
  int64_t begin = 0;
  for (const StagePlan& plan : stages(run)) {
    all.push_back(phase_of(plan, run, begin));
    begin += plan.iterations;
  }
  return all;
}

void LocalContrast::declare(ParamLayout& layout, const UNetConfig& config) {
  const int64_t deepest = config.widths.back();
  global_head_.emplace(layout, "global_head", deepest, deepest, dimension_, relu_);
  if (form_ != GlobalForm::nt_xent) predictor_.emplace(layout, "predictor", dimension_);
  local_head_.emplace(layout, "local_head", config.widths.front(), hidden_, dimension_, relu_);
}

Var LocalContrast::loss(Tape& tape, const TrainState& s, const Batch& b, LossTerms& log) {
  Step step{tape, s, b, log};
  const Stage stage = stages_[s.stage].stage;
  if (stage == Stage::global) return global_loss(step);
  if (stage == Stage::local) return local_loss(step);
  return step.supervised_loss(
      step.student(tape.constant(b.images(), "images")), tape.constant(b.labels(), "labels"));
}

// BYOL's average moves while there is something to compare with it.
bool LocalContrast::averages(const TrainState& s) const {
  return has_teacher() && stages_[s.stage].stage == Stage::global;
}

// Both views, (2n,D).
Var LocalContrast::embedded(Step& step, Pass& pass) const {
  return (*global_head_)(pass, global_avg_pool(step.s.model->encode(pass, two_views(step, 0, 1))));
}

Var LocalContrast::global_loss(Step& step) const {
  Pass pass(step.tape, *step.s.student, /*training=*/true, step.s.rng, site::student);
  const Var z = embedded(step, pass);
  const int64_t n = step.b.size();
  if (form_ != GlobalForm::nt_xent) return predictive(step, pass, z);
  const Var image = step.upload(pair_rows(n, 0), "images of the rows");
  const Var sibling = gather_rows(z, step.upload(pair_rows(n, n), "other views"));
  const Var contrast = info_nce(z, sibling, z, image, image, global_tau_);  // EQ: 2.2 global contrast
  step.log.terms.push_back({term::global_contrast, contrast});
  return contrast;
}

// |p - z|^2 = 2 - 2 <p,z> of vectors of length 1.
Var LocalContrast::predictive(Step& step, Pass& pass, const Var& z) const {
  const bool byol = form_ == GlobalForm::byol;
  const auto seen = [&] {
    if (!byol) return z.value();
    return step.without_gradient([&](Step& teacher) {
      Pass of_teacher(teacher.tape, *step.s.teacher, /*training=*/false, step.s.rng, site::teacher);
      of_teacher.set_norm(NormMode::batch_only);
      return embedded(teacher, of_teacher).value();
    });
  };
  const Var constant =
      step.tape.constant(step.held("embeddings of the views", seen), "embeddings of the views");
  const int64_t n = step.b.size();
  const Var sibling = gather_rows(constant, step.upload(pair_rows(n, n), "other views"));
  const Var error = mean_squared_error((*predictor_)(pass, z), sibling);
  const double D = double(dimension_);
  const Var contrast = byol ? affine(error, D) : affine(error, D / 2, -1);  // EQ: 2.2 predicted view
  step.log.terms.push_back({term::global_contrast, contrast});
  return contrast;
}

Var LocalContrast::local_loss(Step& step) const {
  Pass pass(step.tape, *step.s.student, /*training=*/true, step.s.rng, site::student);
  const Var map = step.s.model->forward(pass, two_views(step, 1, 2)).decoder.back();
  const Shape s = map.shape();
  const PixelPlan::Groups groups = pixels_.groups(step.b.size(), s[1], s[2]);
  const int64_t n = int64_t(groups.index.size()), m = n / groups.count;
  const Tensor index = integers({n}), label = integers({groups.count, m});
  step.work([&] {
    std::copy(groups.index.begin(), groups.index.end(), index.data<int32_t>());
    const Batch& host = step.b.on_host();
    const bool truth = labels_ == PixelLabels::truth;
    const int64_t labelled = host.labels().numel();
    for (int64_t i = 0; i < n; ++i) {
      const int64_t at = groups.index[size_t(i)] % labelled;  // the same in both views
      label.data<int32_t>()[i] = truth ? host.labels().data<uint8_t>()[at] : int32_t(at + 1);
    }
  });
  const Var rows = gather_rows(reshape(widened(map), {s.rows(), s[3]}), step.upload(index, "pixels"));
  const Var f = reshape((*local_head_)(pass, rows), {groups.count, m, dimension_});
  const Var contrast = pixel_contrast(f, step.upload(label, "labels of the pixels"), contrast_);
  step.log.terms.push_back({term::local_contrast, contrast});
  return contrast;
}

}  // namespace patchcl
