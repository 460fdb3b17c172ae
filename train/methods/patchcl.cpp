#include "train/methods/patchcl.h"

#include <algorithm>

#include "autograd/ops/region_pool.h"
#include "autograd/ops/shape.h"
#include "losses/info_nce.h"
#include "tensor/bfloat16.h"
#include "tensor/parallel.h"
#include "train/methods/patch_sheet.h"
#include "train/methods/patch_regions.h"
#include "train/methods/patch_view.h"

namespace patchcl {

namespace {

AddMethod patchcl_method{{40, "patchcl",
    "pseudo-label guided contrast of patches (Basak and Yin 2023), on a mean teacher", make<PatchCl>}};

Tensor host_floats(const Shape& s) { return Arena("contrast").zeros(s, DType::f32); }

void put_moments(const Moments& m, int64_t row, const Tensor& mean, const Tensor& covariance) {
  std::copy(m.mean.begin(), m.mean.end(), mean.data<float>() + row * int64_t(m.mean.size()));
  std::copy(m.covariance.begin(), m.covariance.end(),
      covariance.data<float>() + row * int64_t(m.covariance.size()));
}

// As f32 on the host, of which a plan has nothing to read; the step's own memory where they are that already.
Tensor numbers_of(const Step& step, const Tensor& embeddings) {
  if (embeddings.device() == Device::cpu && embeddings.dtype() == DType::f32) return embeddings;
  Tensor numbers = host_floats(embeddings.shape());
  step.work([&] { numbers = on_host(embeddings); });
  return numbers;
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

Eigen::VectorXd mean_of_class(const Tensor& keys, const std::vector<int32_t>& classes, int32_t k) {
  const Points x = points_of_class(keys, classes, k);
  Eigen::VectorXd sum = Eigen::VectorXd::Zero(x.rows());
  for (int64_t i = 0; i < x.cols(); ++i) sum += x.col(i);
  return sum / double(std::max<int64_t>(x.cols(), 1));
}

PatchCl::PatchCl() {
  warm_up_ = ramp_up_ = 1. / 3;  // METHODS 1.9
  consistency_weight_ = 4;       // METHODS 1.12
  strong_ = Strong::jittered;
  read_schedule();
  read_teacher();
  read_views();
  read_consistency();
  read_pseudo_labels();
  read_pdcr();
  read_copy_paste();
  o_.declare(options());
}

void PatchCl::resolve(const RunShape& run) {
  SemiSupervised::resolve(run);
  o_.patches.resolve(run.size, run.size_multiple);
  o_.forbid_without_effect(options());
  if (warm_up_ == 0)
    options().forbid(
        {"warm-up-tau", "warm-up-lambda", "warm-up-psi", "warm-up-contrast"}, "without a warm-up");
  if (copy_paste_ && o_.embed == Embed::region)
    fail(ExitCode::usage, "options",
        "--embed region with --copy-paste, whose images are neither labelled nor not; try --mix with "
        "--consistency dice");
  if (o_.queue_ready > o_.queue)
    fail(ExitCode::usage, "options", "--queue-ready ", o_.queue_ready, " is more than the --queue of ",
        o_.queue, " holds");
}

void PatchCl::declare(ParamLayout& layout, const UNetConfig& config) {
  SemiSupervised::declare(layout, config);
  classes_ = config.classes;
  const int64_t levels = int64_t(config.widths.size());
  if (o_.embed == Embed::attention && o_.embed_level >= levels)
    fail(ExitCode::usage, "options", "--embed-level ", o_.embed_level, " of a network of ", levels,
        " levels, which are 0 to ", levels - 1);
  int64_t in = config.widths.back();
  if (o_.embed == Embed::region) in = config.widths.front();
  if (o_.embed == Embed::attention) in = config.widths[size_t(o_.embed_level)];
  const int64_t hidden = o_.embed == Embed::patch ? in : o_.dimension;
  head_ = std::make_unique<ProjectionHead>(layout, in, hidden, o_.dimension, o_.head_norm);
  queue_ = std::make_unique<EmbeddingQueue>(classes_, o_.dimension, o_.queue);
  filter_ = std::make_unique<AreaFilter>(o_.area_filter, classes_, o_.area_target);
  if (o_.match > 0) matched_ = std::make_unique<MatchedWeight>(o_.match, o_.weight);
}

void PatchCl::save(TensorFile& file) const {
  queue_->save(file);
  filter_->save(file);
  if (matched_) matched_->save(file);
}

void PatchCl::load(const TensorFile& file) {
  queue_->load(file);
  filter_->load(file);
  if (matched_) matched_->load(file);
}

double PatchCl::contrast_weight(const TrainState& s) const {
  return (matched_ ? matched_->weight() : o_.weight) * (o_.ramped ? ramp(s) : 1);
}

Var PatchCl::contrast(Step& step, const Passes& passes) {
  if (o_.contrast == Contrast::off || (warming_up(step.s) && !o_.in_warm_up)) return {};
  if (matched_) step.log.values.push_back({reading::contrast_weight, contrast_weight(step.s)});
  if (o_.embed == Embed::region) return region_contrast(step, passes);
  const Patches patches = draw_patches(step, passes.target.probabilities);
  if (patches.classes.size() < 2) return {};  // the head's batch norm wants more than one
  const Tensor keys = enqueue(step, patches);
  const bool queues = o_.contrast != Contrast::intra_inter;
  if (queues && !enough_classes(step)) return {};
  const Var all = embed(step, *step.s.student, step.upload(patches.plain, "patches"), patches.plain_attention,
      /*training=*/true);
  const Var embeddings = patches.absent() > 0 ? slice(all, 0, 0, patches.shown()) : all;
  if (!queues) return intra_inter(step, embeddings, patches, keys);
  if (patches.absent() > 0) return against_queue_and_absent(step, embeddings, patches, keys);
  return against_classes(step, embeddings, patches.classes, keys, patches.classes);
}

// At least two classes have queues that tell something.
bool PatchCl::enough_classes(const Step& step) const {
  int64_t ready_classes = 0;
  for (int64_t k = 0; k < classes_; ++k) ready_classes += ready(k);
  step.log.values.push_back({reading::ready_classes, double(ready_classes)});
  return step.plan_for(ready_classes >= 2);
}

Var PatchCl::against_classes(Step& step, const Var& embeddings, const std::vector<int32_t>& classes,
    const Tensor& keys, const std::vector<int32_t>& classes_of_keys) {
  const Tensor class_of = Arena("contrast").empty({int64_t(classes.size())}, DType::i32);
  const bool means = o_.contrast == Contrast::info_nce && o_.embed == Embed::region;
  const auto has_key = [&](int32_t k) { return !means || std::ranges::count(classes_of_keys, k) > 0; };
  std::ranges::transform(
      classes, class_of.data<int32_t>(), [&](int32_t k) { return ready(k) && has_key(k) ? k : -1; });
  const Var anchors = step.upload(class_of, "patch classes");
  if (o_.contrast == Contrast::info_nce) {
    const Tensor positives = means ? class_directions(step, keys, classes_of_keys, classes) : keys;
    return against_queue(step, embeddings, anchors, positives);
  }
  GuidedContrastiveOptions o = warming_up(step.s) ? o_.warm_up : o_.guided;
  if (o_.contrast == Contrast::prototype) {
    o = {.tau = o_.guided.tau, .lambda = 0, .psi = 0};
    for (int64_t k = 0; k < classes_; ++k) o.psi += ready(k);  // EQ: 1.13 V1 loss
  }
  const auto embedded = [&] { return numbers_of(step, embeddings.value()); };
  const ClassStatistics seen = o_.student_anchors
                                   ? statistics(step, step.held("hard negatives' anchors", embedded), classes)
                                   : statistics(step, keys, classes_of_keys);
  return guided_contrastive(embeddings, anchors, seen, o);
}

// During the warm-up there is no area filter (METHODS 1.9); nor for the teacher's windows, which would teach
// it twice.
SampledPatches PatchCl::sample(
    const Step& step, const PatchImages& batch, uint32_t site, AreaFilter& filter) const {
  AreaFilter everything(AreaFilterMode::off, classes_);
  Rng rng = step.host_rng(site);
  const bool filtered = !warming_up(step.s) && site == site::patches;
  return sample_patches(batch, budget(), o_.patches, filtered ? filter : everything, rng);
}

Tensor PatchCl::push(Step& step, const Tensor& embeddings, const std::vector<int32_t>& classes) {
  const Tensor keys = numbers_of(step, embeddings);
  step.work([&] {
    for (size_t i = 0; i < classes.size(); ++i)
      queue_->push(classes[i], keys.data<float>() + int64_t(i) * o_.dimension);
  });
  return keys;
}

Patches PatchCl::draw_patches(const Step& step, const Tensor& target) {
  const int64_t side = o_.patches.side, channels = step.b.images().shape()[3];
  // The GPU's work stays there; from it come the means of the windows.
  const bool attention = o_.embed == Embed::attention, attended = o_.attended && !attention;
  const Place place = step.place(/*host_only=*/attention || looks_at_pixels(o_.patches));
  const SeenImages seen(step, o_.patches.labeled_only ? Tensor() : target, classes_, place);
  const std::vector<Patch> most(static_cast<size_t>(budget()));  // a plan's: as many as there can be
  SampledPatches sampled{most, most};
  step.work([&] { sampled = sample(step, seen.batch, site::patches, *filter_); });
  Patches out;
  if (sampled.positive.empty()) return out;
  out.classes = classes_of(sampled.positive);
  std::vector<Patch> drawn = sampled.positive;
  if (o_.contrast == Contrast::intra_inter || o_.absent_negatives) {
    out.classes_without = classes_of(sampled.negative);
    drawn.insert(drawn.end(), sampled.negative.begin(), sampled.negative.end());
  }
  Rng rng = step.host_rng(site::patch_view);
  const std::vector<PatchView> views = draw_views(drawn.size(), side, channels, rng);
  const Shape shape{int64_t(drawn.size()), side, side, channels};
  out.plain = place.memory.empty(shape, DType::f32);
  out.augmented = place.memory.empty(shape, DType::f32);
  step.work([&] {
    cut_patches(seen.batch, drawn, attended, out.plain);
    view_patches(seen.batch, drawn, views, attended, out.augmented);
  });
  if (!attention) return out;
  out.plain_attention = attention_of(step, seen.batch, drawn, {}, side, o_.embed_level);
  out.augmented_attention = attention_of(step, seen.batch, drawn, views, side, o_.embed_level);
  return out;
}

std::shared_ptr<const DrawnWindows> PatchCl::windows(const TrainState& s, const Batch& b) {
  Tape tape(*s.arena, {.grad = false});
  LossTerms log;
  Step step{tape, s, b, log};
  Tensor target;
  if (b.unlabeled() > 0) {
    const Var images = step.unlabeled(b.images(), "unlabelled images");
    target = step.predict(*s.teacher, images, looking_mode(), site::teacher).probabilities;
  }
  const SeenImages seen(
      step, o_.patches.labeled_only ? Tensor() : target, classes_, step.place(/*host_only=*/true));
  AreaFilter filter = *filter_;  // its threshold moves in steps only
  return std::make_shared<DrawnWindows>(seen, o_.patches, sample(step, seen.batch, site::patches, filter));
}

std::vector<NamedPicture> PatchCl::pictures(
    const TrainState& s, const Batch& b, const std::vector<std::string>& class_names) {
  const auto w = windows(s, b);
  // One labelled image and up to three unlabelled ones.
  std::vector<int64_t> shown{0};
  for (int64_t i = b.labeled; i < w->seen.batch.n && shown.size() < 4; ++i) shown.push_back(i);
  const std::string when = "step " + std::to_string(s.iteration);
  return {
      {"patches", patch_sheet(w->seen.batch, shown, w->drawn, o_.patches, class_names, "patches, " + when)},
      {"queue", embedding_map(*queue_, class_names, "queue embeddings, " + when)}};
}

Var PatchCl::embed(
    Step& step, const ParamStore& weights, const Var& patches, const Tensor& attention, bool training) const {
  Pass pass(step.tape, weights, training, step.s.rng, site::patch_pass);
  pass.set_norm(NormMode::batch_only);
  if (!attention) return head_->forward(pass, step.s.model->encode(pass, patches));
  const Var map = widened(step.s.model->encoder_maps(pass, patches)[size_t(o_.embed_level)]);
  const Tensor whole = Arena("contrast").zeros({attention.shape()[0], 3}, DType::i32);
  for (int64_t i = 0; i < attention.shape()[0]; ++i) whole.data<int32_t>()[3 * i] = int32_t(i);
  const Var rows = region_pool(map, step.upload(whole, "whole patches"), step.upload(attention, "attention"));
  return head_->embed(pass, rows);
}

Tensor PatchCl::teacher_embeddings(Step& step, const Tensor& patches, const Tensor& attention) const {
  return step.without_gradient([&](Step& teacher) {
    const Var input = teacher.upload(patches, "augmented patches");
    return embed(teacher, *step.s.teacher, input, attention, /*training=*/false).value();
  });
}

Tensor PatchCl::enqueue(Step& step, const Patches& patches) {
  return push(
      step, teacher_embeddings(step, patches.augmented, patches.augmented_attention), patches.classes);
}

// Each class's covariance becomes the mean of those that are ready: the spread within a class.
void PatchCl::pool_covariances(std::vector<Moments>& moments) const {
  std::vector<double> pooled(moments[0].covariance.size());
  double count = 0;
  for (int64_t k = 0; k < classes_; ++k) count += ready(k);
  for (int64_t k = 0; k < classes_; ++k)
    for (size_t i = 0; ready(k) && i < pooled.size(); ++i)
      pooled[i] += moments[size_t(k)].covariance[i] / count;  // EQ: 1.13 V3 covariance
  for (Moments& m : moments) m.covariance = pooled;
}

ClassStatistics PatchCl::statistics(
    Step& step, const Tensor& anchors, const std::vector<int32_t>& classes) const {
  const HardNegativeOptions& hard = o_.hard_negatives;
  const bool plain = hard.scheme == HardNegatives::off || o_.contrast == Contrast::prototype;
  const int64_t K = classes_, D = o_.dimension, rows = plain ? 1 : K;
  const Tensor mean = host_floats({K, D}), covariance = host_floats({K, D, D});
  const Tensor negative_mean = host_floats({rows, K, D}), negative_covariance = host_floats({rows, K, D, D});
  const Tensor is_ready = Arena("contrast").zeros({K}, DType::u8);
  std::vector<Moments> moments;
  for (int64_t k = 0; k < K; ++k) moments.push_back(queue_->moments(k));
  if (o_.pooled_covariance) pool_covariances(moments);
  std::vector<std::unique_ptr<ClassGaussian>> gaussians;
  for (int64_t k = 0; k < K; ++k) {
    is_ready.data<uint8_t>()[k] = ready(k);
    const Moments& m = moments[size_t(k)];
    gaussians.push_back(ready(k) && rows > 1 ? std::make_unique<ClassGaussian>(m) : nullptr);
    put_moments(m, k, mean, covariance);
    if (rows == 1) put_moments(m, k, negative_mean, negative_covariance);
  }
  const auto find_negatives = [&](int64_t pair) {
    const int64_t i = pair / K, j = pair % K;
    const Points own = points_of_class(anchors, classes, i);
    if (i == j || !ready(i) || !ready(j)) return;
    // The student may have drawn windows of a class of which the teacher drew none: nothing is close to them.
    if (own.cols() == 0) return put_moments(moments[size_t(j)], pair, negative_mean, negative_covariance);
    Rng rng = step.host_rng(site::hard_negatives + uint32_t(pair));
    const Points negatives = newest_points(*queue_, j, hard.candidates);
    put_moments(hard_negatives(own, negatives, *gaussians[size_t(i)], *gaussians[size_t(j)],
                    moments[size_t(j)], hard, rng),
        pair, negative_mean, negative_covariance);
  };
  step.work([&] { parallel_for(rows == 1 ? 0 : K * K, find_negatives); });
  return {step.upload(mean, "mu"), step.upload(covariance, "Sigma"),
      step.upload(negative_mean, "negative mu"), step.upload(negative_covariance, "negative Sigma"),
      step.upload(is_ready, "ready classes")};
}

PatchCl::Negatives PatchCl::queue_negatives() const {
  const int64_t most = o_.info_nce_negatives, D = o_.dimension;
  const Negatives n{
      host_floats({classes_ * most, D}), Arena("contrast").empty({classes_ * most}, DType::i32)};
  for (int64_t k = 0; k < classes_; ++k)
    for (int64_t i = 0; i < most; ++i) {
      const bool there = ready(k) && i < queue_->size(k);
      n.classes.data<int32_t>()[k * most + i] = there ? int32_t(k) : -1;
      if (there) std::copy_n(queue_->newest(k, i), D, n.rows.data<float>() + (k * most + i) * D);
    }
  return n;
}

Var PatchCl::against_queue(Step& step, const Var& embeddings, const Var& classes, const Tensor& keys) const {
  const Negatives negatives = queue_negatives();
  return info_nce(embeddings, step.upload(keys, "keys"), step.upload(negatives.rows, "negatives"), classes,
      step.upload(negatives.classes, "negative classes"), o_.info_nce_tau);
}

}  // namespace patchcl
