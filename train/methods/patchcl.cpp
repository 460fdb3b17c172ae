#include "train/methods/patchcl.h"

#include <algorithm>

#include "train/methods/patch_view.h"
#include "losses/info_nce.h"
#include "tensor/parallel.h"
#include "train/methods/patch_sheet.h"

namespace patchcl {

namespace {

constexpr int64_t kDimension = 128;  // of an embedding

Tensor host_floats(const Shape& s) { return Arena("contrast").zeros(s, DType::f32); }

// What the sampler sees: labelled images with their labels, unlabelled ones with the teacher's softmax (when
// there is one). On the host, or in the GPU's `arena`.
struct Confidence {
  Confidence(const Batch& b, const Tensor& target, int64_t K, const Arena& arena) {
    const bool gpu = arena.device() == Device::cuda;
    const auto here = [&](const Tensor& t) { return gpu ? t : on_host(t); };
    const Shape& s = b.images.shape();
    const int64_t n = target ? s[0] : b.labeled;
    images = here(b.images.rows(0, n));
    confidence = arena.empty({n, s[1], s[2], K}, DType::f32);
    if (!arena.is_plan()) {
      one_hot(here(b.labels.rows(0, b.labeled)), confidence.rows(0, b.labeled));
      if (target) copy(here(target), confidence.rows(b.labeled, n - b.labeled));
    }
    batch = {n, s[1], s[2], s[3], K, images.data<float>(), confidence.data<float>(), gpu ? &arena : nullptr};
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

void PatchCl::declare(ParamLayout& layout, const UNetConfig& config) {
  classes_ = config.classes;
  head_ = std::make_unique<ProjectionHead>(layout, config.widths.back(), config.widths.back(), kDimension);
  queue_ = std::make_unique<EmbeddingQueue>(classes_, kDimension, options_.queue);
  filter_ = std::make_unique<AreaFilter>(options_.area_filter, classes_, options_.area_target);
}

void PatchCl::save(TensorFile& file) const {
  queue_->save(file);
  filter_->save(file);
}

void PatchCl::load(const TensorFile& file) {
  queue_->load(file);
  filter_->load(file);
}

Tensor PatchCl::target(Step& step) {
  return predict(
      step.tape, step.s, *step.s.teacher, step.unlabeled_images(), /*training=*/false, site::teacher);
}

Var PatchCl::contrast(Step& step, const Tensor& target) {
  if (options_.contrast == Contrast::off) return {};
  const Patches patches = cut_patches(step, target);
  if (patches.classes.empty()) return {};
  const Tensor keys = enqueue(step, patches);
  int64_t ready_classes = 0;
  for (int64_t k = 0; k < classes_; ++k) ready_classes += ready(k);
  step.log.values.push_back({"ready_classes", double(ready_classes)});
  if (ready_classes < 2 && !step.tape.dry()) return {};

  const DType dtype = step.dtype();
  const Var embeddings = embed(step.tape, step.s, *step.s.student,
      upload(step.tape, patches.plain, dtype, "patches"), /*training=*/true);
  std::vector<int32_t> classes = patches.classes;
  for (int32_t& k : classes)
    if (!ready(k)) k = -1;
  const Tensor host = Arena("contrast").empty({int64_t(classes.size())}, DType::i32);
  std::copy(classes.begin(), classes.end(), host.data<int32_t>());
  const Var class_of = upload(step.tape, host, dtype, "patch classes");
  return options_.contrast == Contrast::guided ? guided(step, embeddings, class_of, keys, patches)
                                               : against_queue(step, embeddings, class_of, keys);
}

PatchCl::Patches PatchCl::cut_patches(const Step& step, const Tensor& target) {
  const Shape& s = step.b.images.shape();
  const PatchOptions options =
      patch_options(options_.patches, std::min(s[1], s[2]), step.s.model->size_multiple());
  const int64_t budget = options_.patches_per_class * classes_, side = options.side;
  // The GPU's work stays there; from it come the means of the windows.
  const bool gpu = step.tape.arena().device() == Device::cuda && step.dtype() == DType::f32 &&
                   !looks_at_pixels(options.sampling);
  const Arena memory = gpu ? step.tape.arena() : Arena("patches");
  Patches out;
  if (step.tape.dry()) {
    if (gpu)
      const Confidence seen(
          step.b, target, classes_, memory);  // its room is free again before the student's pass
    out.plain = memory.empty({budget, side, side, s[3]}, DType::f32);
    out.augmented = memory.empty({budget, side, side, s[3]}, DType::f32);
    out.classes.resize(size_t(budget));
    return out;
  }
  const Confidence seen(step.b, target, classes_, memory);
  AreaFilter everything(AreaFilterMode::off, classes_);  // METHODS 1.9: no filter during the warm-up
  Rng rng(step.s.seed, uint64_t(step.s.iteration), site::patches);
  const std::vector<Patch> drawn =
      sample_patches(seen.batch, budget, options, step.warming_up ? everything : *filter_, rng).positive;
  if (drawn.empty()) return out;
  Rng rng_of_views(step.s.seed, uint64_t(step.s.iteration), site::patch_view);
  std::vector<PatchView> views;
  for (const Patch& p : drawn) {
    views.push_back(draw_view(side, s[3], rng_of_views));
    out.classes.push_back(int32_t(p.label));
  }
  const Shape shape{int64_t(drawn.size()), side, side, s[3]};
  out.plain = memory.empty(shape, DType::f32);
  out.augmented = memory.empty(shape, DType::f32);
  patchcl::cut_patches(seen.batch, drawn, options_.attended_patches, out.plain);
  view_patches(seen.batch, drawn, views, options_.attended_patches, out.augmented);
  return out;
}

std::vector<NamedPicture> PatchCl::pictures(
    const TrainState& s, const Batch& b, const std::vector<std::string>& class_names) {
  Tape tape(*s.arena, {.grad = false});
  LossTerms log;
  Step step{tape, s, b, log, /*warming_up=*/false};
  const Confidence seen(b, step.unlabeled() > 0 ? target(step) : Tensor(), classes_, Arena("patches"));
  const PatchOptions options = patch_options(
      options_.patches, std::min(seen.batch.height, seen.batch.width), s.model->size_multiple());
  AreaFilter filter = *filter_;
  Rng rng(s.seed, uint64_t(s.iteration), site::patches);
  const SampledPatches drawn =
      sample_patches(seen.batch, options_.patches_per_class * classes_, options, filter, rng);
  // One labelled image and up to three unlabelled ones.
  std::vector<int64_t> shown{0};
  for (int64_t i = b.labeled; i < seen.batch.n && shown.size() < 4; ++i) shown.push_back(i);
  const std::string when = "step " + std::to_string(s.iteration);
  return {{"patches", patch_sheet(seen.batch, shown, drawn, options, class_names, "patches, " + when)},
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
  const Var input = upload(forward_only, patches.augmented, step.dtype(), "augmented patches");
  const Tensor embeddings = embed(forward_only, step.s, *step.s.teacher, input, /*training=*/false).value();
  if (step.tape.dry()) return host_floats(embeddings.shape());
  const Tensor keys = on_host(embeddings);
  for (size_t i = 0; i < patches.classes.size(); ++i)
    queue_->push(patches.classes[i], keys.data<float>() + int64_t(i) * kDimension);
  return keys;
}

Var PatchCl::guided(
    Step& step, const Var& embeddings, const Var& classes, const Tensor& keys, const Patches& patches) const {
  const int64_t K = classes_, D = kDimension,
                rows = options_.hard_negatives.scheme == HardNegatives::off ? 1 : K;
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
    Rng rng(step.s.seed, uint64_t(step.s.iteration), site::hard_negatives + uint32_t(pair));
    const Points negatives = newest_points(*queue_, j, options_.hard_negatives.candidates);
    put_moments(hard_negatives(anchors, negatives, *gaussians[size_t(i)], *gaussians[size_t(j)],
                    moments[size_t(j)], options_.hard_negatives, rng),
        pair, negative_mean, negative_covariance);
  });
  const auto up = [&](const Tensor& t, const char* label) {
    return upload(step.tape, t, step.dtype(), label);
  };
  const ClassStatistics statistics{up(mean, "mu"), up(covariance, "Sigma"), up(negative_mean, "negative mu"),
      up(negative_covariance, "negative Sigma"), up(is_ready, "ready classes")};
  return guided_contrastive(
      embeddings, classes, statistics, step.warming_up ? options_.warm_up_loss : options_.loss);
}

Var PatchCl::against_queue(Step& step, const Var& embeddings, const Var& classes, const Tensor& keys) const {
  const int64_t most = options_.info_nce_negatives, D = kDimension;
  const Tensor negatives = host_floats({classes_ * most, D}),
               class_of = Arena("contrast").empty({classes_ * most}, DType::i32);
  for (int64_t k = 0; k < classes_; ++k)
    for (int64_t i = 0; i < most; ++i) {
      const bool there = ready(k) && i < queue_->size(k);
      class_of.data<int32_t>()[k * most + i] = there ? int32_t(k) : -1;
      if (there)
        std::copy(
            queue_->newest(k, i), queue_->newest(k, i) + D, negatives.data<float>() + (k * most + i) * D);
    }
  const DType dtype = step.dtype();
  return info_nce(embeddings, upload(step.tape, keys, dtype, "keys"),
      upload(step.tape, negatives, dtype, "negatives"), classes,
      upload(step.tape, class_of, dtype, "negative classes"), options_.info_nce_tau);
}

}  // namespace patchcl
