#include "train/methods/patchcl.h"

#include <algorithm>

#include "losses/info_nce.h"
#include "tensor/parallel.h"
#include "train/methods/patch_sheet.h"
#include "train/methods/patch_view.h"

namespace patchcl {

namespace {

AddMethod patchcl_method{{40, "patchcl",
    "pseudo-label guided contrast of patches (Basak and Yin 2023), on a mean teacher", make<PatchCl>}};

const Names<Contrast> kContrast{
    {"off", Contrast::off}, {"info-nce", Contrast::info_nce}, {"guided", Contrast::guided}};
const Names<HardNegatives> kHardNegatives{{"off", HardNegatives::off},
    {"truncated", HardNegatives::truncated}, {"released", HardNegatives::released}};
const Names<AreaFilterMode> kAreaFilter{{"off", AreaFilterMode::off},
    {"corrected", AreaFilterMode::corrected}, {"released", AreaFilterMode::released}};

Tensor host_floats(const Shape& s) { return Arena("contrast").zeros(s, DType::f32); }

// What the sampler sees: labelled images with their labels, unlabelled ones with the teacher's softmax (when
// there is one).
struct Confidence {
  Confidence(const Step& step, const Tensor& target, int64_t K, const Place& place) {
    const Batch& b = place.here(step.b);
    const Shape& s = b.images().shape();
    const int64_t n = target ? s[0] : b.labeled;
    confidence = place.memory.empty({n, s[1], s[2], K}, DType::f32);
    step.work([&] {
      images = place.here(b.images().rows(0, n));
      one_hot(place.here(b.labels().rows(0, b.labeled)), confidence.rows(0, b.labeled));
      if (target) copy(place.here(target), confidence.rows(b.labeled, n - b.labeled));
    });
    batch = {n, s[1], s[2], s[3], K, images.data<float>(), confidence.data<float>(),
        place.gpu ? &place.memory : nullptr};
  }
  Tensor images, confidence;
  PatchImages batch;
};

void put_moments(const Moments& m, int64_t row, const Tensor& mean, const Tensor& covariance) {
  std::copy(m.mean.begin(), m.mean.end(), mean.data<float>() + row * int64_t(m.mean.size()));
  std::copy(m.covariance.begin(), m.covariance.end(),
      covariance.data<float>() + row * int64_t(m.covariance.size()));
}

Points points_of_class(const Tensor& keys, const std::vector<int32_t>& classes, int64_t k) {
  const int64_t D = keys.shape()[1];
  Points x(D, std::count(classes.begin(), classes.end(), int32_t(k)));
  int64_t column = 0;
  for (size_t i = 0; i < classes.size(); ++i)
    if (classes[i] == k)
      x.col(column++) =
          Eigen::Map<const Eigen::VectorXf>(keys.data<float>() + int64_t(i) * D, D).cast<double>();
  return x;
}

Points newest_points(const EmbeddingQueue& queue, int64_t k, int64_t count) {
  Points x(queue.dimension(), std::min(count, queue.size(k)));
  for (int64_t i = 0; i < x.cols(); ++i)
    x.col(i) = Eigen::Map<const Eigen::VectorXf>(queue.newest(k, i), queue.dimension()).cast<double>();
  return x;
}

}  // namespace

void ContrastOptions::declare(OptionList& o) {
  o.group("Contrast");
  o.choose("contrast", contrast, kContrast, "Contrastive loss");
  o.add("contrast-weight", weight, "Weight of the contrastive loss", kNotNegative);
  o.add("warm-up-contrast", in_warm_up, "Contrast in the warm-up too");
  o.add("embedding", dimension, "Numbers in an embedding", at_least(2));
  o.add("warm-up-tau", warm_up.tau, "Temperature during the warm-up", kPositive);
  o.add("warm-up-lambda", warm_up.lambda, "Scale of the class covariances during the warm-up", kNotNegative);
  o.add("warm-up-psi", warm_up.psi, "Weight of the negatives during the warm-up", kPositive);
  o.add("tau", guided.tau, "Temperature", kPositive);
  o.add("lambda", guided.lambda, "Scale of the class covariances", kNotNegative);
  o.add("psi", guided.psi, "Weight of the negatives", kPositive);
  o.add("info-nce-tau", info_nce_tau, "Temperature of InfoNCE", kPositive);
  o.add("info-nce-negatives", info_nce_negatives, "Newest queue entries of each class that InfoNCE takes",
      at_least(1));
  o.choose("hard-negatives", hard_negatives.scheme, kHardNegatives, "Synthetic hard negatives");
  o.add("queue", queue, "Teacher embeddings kept per class", at_least(2));
  o.add("queue-ready", queue_ready, "Embeddings before a class takes part", at_least(2));
  patches.declare(o);
  o.add("patches", patches_per_class, "Patches per class and step", at_least(1));
  o.add("attended-patches", attended, "Patches show image times confidence, not the plain image");
  o.choose("area-filter", area_filter, kAreaFilter, "Drop patches that show too little of their class");
  o.add("area-target", area_target, "Share of the patches that the area filter keeps", kShare);
}

PatchCl::PatchCl() {
  warm_up_ = ramp_up_ = 1. / 3;  // METHODS 1.9
  consistency_weight_ = 4;       // METHODS 1.12
  strong_ = true;
  read_schedule();
  read_teacher();
  read_views();
  read_consistency();
  read_pseudo_labels();
  read_copy_paste();
  o_.declare(options());
}

void PatchCl::resolve(const RunShape& run) {
  SemiSupervised::resolve(run);
  o_.patches.resolve(run.size, run.size_multiple);
  if (o_.queue_ready > o_.queue)
    fail(ExitCode::usage, "options", "--queue-ready ", o_.queue_ready, " is more than the --queue of ",
        o_.queue, " holds");
}

void PatchCl::declare(ParamLayout& layout, const UNetConfig& config) {
  classes_ = config.classes;
  head_ = std::make_unique<ProjectionHead>(layout, config.widths.back(), config.widths.back(), o_.dimension);
  queue_ = std::make_unique<EmbeddingQueue>(classes_, o_.dimension, o_.queue);
  filter_ = std::make_unique<AreaFilter>(o_.area_filter, classes_, o_.area_target);
}

void PatchCl::save(TensorFile& file) const {
  queue_->save(file);
  filter_->save(file);
}

void PatchCl::load(const TensorFile& file) {
  queue_->load(file);
  filter_->load(file);
}

Var PatchCl::contrast(Step& step, const Passes& passes) {
  if (o_.contrast == Contrast::off || (warming_up(step.s) && !o_.in_warm_up)) return {};
  const Patches patches = draw_patches(step, passes.target.probabilities);
  if (patches.classes.empty()) return {};
  const Tensor keys = enqueue(step, patches);
  int64_t ready_classes = 0;
  for (int64_t k = 0; k < classes_; ++k) ready_classes += ready(k);
  step.log.values.push_back({"ready_classes", double(ready_classes)});
  if (!step.plan_for(ready_classes >= 2)) return {};

  const Var embeddings =
      embed(step.tape, step.s, *step.s.student, step.upload(patches.plain, "patches"), /*training=*/true);
  const Tensor class_of = Arena("contrast").empty({int64_t(patches.classes.size())}, DType::i32);
  std::transform(patches.classes.begin(), patches.classes.end(), class_of.data<int32_t>(),
      [&](int32_t k) { return ready(k) ? k : -1; });
  const Var classes = step.upload(class_of, "patch classes");
  if (o_.contrast == Contrast::info_nce) return against_queue(step, embeddings, classes, keys);
  return guided_contrastive(
      embeddings, classes, statistics(step, keys, patches), warming_up(step.s) ? o_.warm_up : o_.guided);
}

Patches PatchCl::draw_patches(const Step& step, const Tensor& target) {
  const int64_t budget = o_.patches_per_class * classes_, side = o_.patches.side,
                channels = step.b.images().shape()[3];
  // The GPU's work stays there; from it come the means of the windows.
  const Place place = step.place(/*host_only=*/looks_at_pixels(o_.patches.sampling));
  const Confidence seen(step, target, classes_, place);
  std::vector<Patch> drawn(static_cast<size_t>(budget));  // a plan's: as many as there can be
  step.work([&] {
    AreaFilter everything(AreaFilterMode::off, classes_);  // METHODS 1.9: no filter during the warm-up
    Rng rng = step.host_rng(site::patches);
    AreaFilter& filter = warming_up(step.s) ? everything : *filter_;
    drawn = sample_patches(seen.batch, budget, o_.patches, filter, rng).positive;
  });
  Patches out;
  if (drawn.empty()) return out;
  Rng rng = step.host_rng(site::patch_view);
  std::vector<PatchView> views;
  for (const Patch& p : drawn) {
    views.push_back(draw_view(side, channels, rng));
    out.classes.push_back(int32_t(p.label));
  }
  const Shape shape{int64_t(drawn.size()), side, side, channels};
  out.plain = place.memory.empty(shape, DType::f32);
  out.augmented = place.memory.empty(shape, DType::f32);
  step.work([&] {
    cut_patches(seen.batch, drawn, o_.attended, out.plain);
    view_patches(seen.batch, drawn, views, o_.attended, out.augmented);
  });
  return out;
}

std::vector<NamedPicture> PatchCl::pictures(
    const TrainState& s, const Batch& b, const std::vector<std::string>& class_names) {
  Tape tape(*s.arena, {.grad = false});
  LossTerms log;
  Step step{tape, s, b, log};
  const Place host = step.place(/*host_only=*/true);
  Tensor target;
  if (b.unlabeled() > 0) {
    const Var images = step.unlabeled(b.images(), "unlabelled images");
    target = step.predict(*s.teacher, images, looking_mode(), site::teacher).probabilities;
  }
  const Confidence seen(step, target, classes_, host);
  AreaFilter filter = *filter_;
  Rng rng = step.host_rng(site::patches);
  const SampledPatches drawn =
      sample_patches(seen.batch, o_.patches_per_class * classes_, o_.patches, filter, rng);
  // One labelled image and up to three unlabelled ones.
  std::vector<int64_t> shown{0};
  for (int64_t i = b.labeled; i < seen.batch.n && shown.size() < 4; ++i) shown.push_back(i);
  const std::string when = "step " + std::to_string(s.iteration);
  return {{"patches", patch_sheet(seen.batch, shown, drawn, o_.patches, class_names, "patches, " + when)},
      {"queue", embedding_map(*queue_, class_names, "queue embeddings, " + when)}};
}

Var PatchCl::embed(
    Tape& tape, const TrainState& s, const ParamStore& weights, const Var& patches, bool training) const {
  Pass pass(tape, weights, training, s.rng, site::patches);
  pass.set_norm(NormMode::batch_only);
  return head_->forward(pass, s.model->encode(pass, patches));
}

Tensor PatchCl::enqueue(Step& step, const Patches& patches) {
  Tape forward_only(step.tape.arena(), {.grad = false, .check_finite = step.tape.options().check_finite});
  const Step teacher{forward_only, step.s, step.b, step.log};
  const Var input = teacher.upload(patches.augmented, "augmented patches");
  const Tensor embeddings = embed(forward_only, step.s, *step.s.teacher, input, /*training=*/false).value();
  Tensor keys = host_floats(embeddings.shape());
  step.work([&] {
    keys = on_host(embeddings);
    for (size_t i = 0; i < patches.classes.size(); ++i)
      queue_->push(patches.classes[i], keys.data<float>() + int64_t(i) * o_.dimension);
  });
  return keys;
}

ClassStatistics PatchCl::statistics(Step& step, const Tensor& keys, const Patches& patches) const {
  const HardNegativeOptions& hard = o_.hard_negatives;
  const int64_t K = classes_, D = o_.dimension, rows = hard.scheme == HardNegatives::off ? 1 : K;
  const Tensor mean = host_floats({K, D}), covariance = host_floats({K, D, D});
  const Tensor negative_mean = host_floats({rows, K, D}), negative_covariance = host_floats({rows, K, D, D});
  const Tensor is_ready = Arena("contrast").zeros({K}, DType::u8);
  std::vector<Moments> moments;
  std::vector<std::unique_ptr<ClassGaussian>> gaussians;
  for (int64_t k = 0; k < K; ++k) {
    moments.push_back(queue_->moments(k));
    is_ready.data<uint8_t>()[k] = ready(k);
    gaussians.push_back(ready(k) && rows > 1 ? std::make_unique<ClassGaussian>(moments.back()) : nullptr);
    put_moments(moments.back(), k, mean, covariance);
    if (rows == 1) put_moments(moments.back(), k, negative_mean, negative_covariance);
  }
  parallel_for(rows == 1 ? 0 : K * K, [&](int64_t pair) {
    const int64_t i = pair / K, j = pair % K;
    const Points anchors = points_of_class(keys, patches.classes, i);
    if (i == j || !ready(i) || !ready(j) || anchors.cols() == 0) return;
    Rng rng = step.host_rng(site::hard_negatives + uint32_t(pair));
    const Points negatives = newest_points(*queue_, j, hard.candidates);
    put_moments(hard_negatives(anchors, negatives, *gaussians[size_t(i)], *gaussians[size_t(j)],
                    moments[size_t(j)], hard, rng),
        pair, negative_mean, negative_covariance);
  });
  return {step.upload(mean, "mu"), step.upload(covariance, "Sigma"),
      step.upload(negative_mean, "negative mu"), step.upload(negative_covariance, "negative Sigma"),
      step.upload(is_ready, "ready classes")};
}

Var PatchCl::against_queue(Step& step, const Var& embeddings, const Var& classes, const Tensor& keys) const {
  const int64_t most = o_.info_nce_negatives, D = o_.dimension;
  const Tensor negatives = host_floats({classes_ * most, D}),
               class_of = Arena("contrast").empty({classes_ * most}, DType::i32);
  for (int64_t k = 0; k < classes_; ++k)
    for (int64_t i = 0; i < most; ++i) {
      const bool there = ready(k) && i < queue_->size(k);
      class_of.data<int32_t>()[k * most + i] = there ? int32_t(k) : -1;
      if (there) std::copy_n(queue_->newest(k, i), D, negatives.data<float>() + (k * most + i) * D);
    }
  return info_nce(embeddings, step.upload(keys, "keys"), step.upload(negatives, "negatives"), classes,
      step.upload(class_of, "negative classes"), o_.info_nce_tau);
}

}  // namespace patchcl
