// Steps of whole methods against PyTorch: options, phases, losses, optimiser and teacher as the learner runs
// them (tests/golden/methods.safetensors, written by tests/golden/make_methods.py in f64). All options differ
// from their defaults, so that one which nobody reads shows.
#include <cmath>
#include <numeric>

#include "autograd/ops/shape.h"
#include "tensor/device.h"
#include "tests/golden.h"
#include "train/methods/patchcl.h"
#include "train/setup/learner.h"

using namespace patchcl;

namespace {

constexpr int64_t kSteps = 10, kLabeled = 2, kImages = 4, kSide = 32, kPatchSide = 16, kPatches = 12;
constexpr int kClasses = 4, kDimension = 6;

TensorFile golden_file(const Arena& arena) { return load_tensors("tests/golden/methods.safetensors", arena); }

LearnerOptions run_of(const golden::Setting& s, int64_t images) {
  LearnerOptions o;
  o.network = {.classes = kClasses, .widths = {2, 4, 4, 8, 8}, .fused = s.fused};
  o.optimizer = {.momentum = 0.8, .weight_decay = 1e-3};
  o.run = {.iterations = kSteps, .batch = images, .size = kSide};
  o.run.rate = {.schedule = Schedule::poly, .peak = 0.015, .length = kSteps};
  o.seed = 7;
  o.dtype = s.dtype;
  return o;
}

OptionValues options_of(const std::string& method) {
  if (method == "supervised") return {};
  OptionValues all{
      {"labeled-batch", "2"}, {"warm-up", "0.2"}, {"ramp-up", "0.5"}, {"consistency-weight", "3"}};
  if (method == "bcp")
    return {{"labeled-batch", "2"}, {"pre-training", "0.2"}, {"pseudo-weight", "0.3"}, {"ema", "0.7"}};
  if (method == "unimatch")
    return {{"labeled-batch", "2"}, {"confidence", "0.4"}, {"channel-dropout", "0.4"}};
  const std::map<std::string, OptionValues> own{{"ad-mt", {{"confidence", "0.4"}}},
      {"ad-mt uncut", {{"confidence", "0.4"}, {"cut-decisions", "false"}}},
      {"ad-mt plain", {{"confidence", "0.4"}, {"cutmix", "false"}, {"teacher-norm", "batch"},
                          {"teacher-dropout", "false"}}},
      {"base", {{"ema", "0.7"}, {"confidence", "0.4"}}}, {"mean-teacher", {{"ema", "0.7"}}},
      {"ua-mt", {{"ema", "0.7"}, {"dropout-passes", "2"}}}, {"fixmatch", {{"confidence", "0.4"}}},
      {"patchcl",
          {{"ema", "0.7"}, {"teacher-norm", "running"}, {"embedding", "6"}, {"contrast-weight", "0.3"},
              {"warm-up-tau", "0.7"}, {"warm-up-lambda", "3"}, {"warm-up-psi", "64"}, {"tau", "0.5"},
              {"lambda", "4"}, {"psi", "16"}, {"queue", "24"}, {"queue-ready", "20"}}},
      {"patchcl info-nce",
          {{"ema", "0.7"}, {"teacher-norm", "running"}, {"embedding", "6"}, {"contrast-weight", "0.3"},
              {"info-nce-tau", "0.4"}, {"info-nce-negatives", "5"}, {"queue", "24"}, {"queue-ready", "20"}}}};
  all.insert(all.end(), own.at(method).begin(), own.at(method).end());
  return all;
}

// What the phase asks for, of the images and labels with these names.
Batch batch_of(const Learner& learner, const Arena& arena, const std::string& name, const std::string& end) {
  const Phase& phase = learner.phase();
  const int64_t n = phase.labeled + phase.unlabeled;
  const int64_t all = std::max(n, kImages);
  const Tensor labels = golden::labels(arena, {all, kSide, kSide}, kClasses, name + ".labels" + end);
  fill(labels.rows(kLabeled, all - kLabeled), 255);
  Batch b;
  b.labeled = phase.labeled;
  b.ids.resize(size_t(n));
  for (const std::string view : {".images", ".strong", ".other"}) {
    const Tensor x =
        golden::images(arena, {all, kSide, kSide, 1}, learner.options().dtype, name + view + end);
    b.views.push_back({x.rows(0, n), labels.rows(0, n)});
  }
  if (phase.views.back().look == Look::eight_bits) {
    std::vector<double> x = golden::values(b.images());
    for (double& v : x) v = std::floor(255 * v) / 255;
    b.views.push_back({golden::tensor(arena, b.images().shape(), b.images().dtype(), x), b.labels()});
  }
  b.views.resize(phase.views.size());
  return b;
}

// PatchCL on windows of the images, places and classes of which a formula gives (cut_patches() of
// make_training.py), with given moments of the classes.
class KnownMoments : public PatchCl {
 public:
  Tensor mean, covariance;

  Patches draw_patches(const Step& step, const Tensor&) override {
    const Tensor& x = step.b.images();
    const Shape& s = x.shape();
    const std::vector<double> u = golden::unit("windows", 4 * kPatches);
    std::vector<double> cut;
    Patches out;
    for (const double* at = u.data(); at != u.data() + u.size(); at += 4) {
      const int64_t n = int64_t(double(s[0]) * at[0]), top = int64_t(double(s[1] - kPatchSide + 1) * at[1]),
                    left = int64_t(double(s[2] - kPatchSide + 1) * at[2]);
      out.classes.push_back(int32_t(kClasses * at[3]));
      for (int64_t r = top; r < top + kPatchSide; ++r)
        for (int64_t c = left; c < left + kPatchSide; ++c) cut.push_back(x.item((n * s[1] + r) * s[2] + c));
    }
    out.plain = out.augmented =
        golden::tensor(Arena("patches"), {kPatches, kPatchSide, kPatchSide, 1}, DType::f32, cut);
    return out;
  }
  ClassStatistics statistics(Step& step, const Tensor&, const std::vector<int32_t>&) const override {
    const Var m = step.tape.constant(mean), S = step.tape.constant(covariance);
    const Tensor ready = step.tape.arena().empty({kClasses}, DType::u8);
    fill(ready, 1);
    return {m, S, reshape(m, {1, kClasses, kDimension}), reshape(S, {1, kClasses, kDimension, kDimension}),
        step.tape.constant(ready)};
  }
  bool ready(int64_t) const override { return true; }
};

class GoldenMethods : public testing::TestWithParam<golden::Setting> {
 protected:
  void SetUp() override { set_kernels(GetParam().kernels); }
  void TearDown() override { set_kernels(Kernels::fast); }

  std::unique_ptr<Method> make(const std::string& name) const {
    if (name != "patchcl") return make_method(name.substr(0, name.find(' ')), options_of(name));
    auto method = std::make_unique<KnownMoments>();
    method->options().set(options_of(name));
    method->mean = in_precision("steps.mean");
    method->covariance = in_precision("steps.covariance");
    return method;
  }
  Tensor in_precision(const std::string& name) const {
    const Tensor& t = golden_.tensors.at(name);
    return golden::tensor(arena_, t.shape(), GetParam().dtype, golden::values(t));
  }
  // In f32 an activation may end up on the other side of a kink, which moves a gradient by about 1e-3.
  double tolerance() const { return GetParam().dtype == DType::f64 ? 1e-9 : 1e-2; }
  void close(const std::string& name, const Tensor& got) const {
    ASSERT_TRUE(golden_.tensors.contains(name)) << name;
    golden::expect_close(name, got, golden_.tensors.at(name), tolerance());
  }

  Arena arena_{"test"};
  TensorFile golden_ = golden_file(arena_);
};

TEST_P(GoldenMethods, TenStepsOfTheLearnerAreThoseOfPyTorch) {
  for (const std::string method : {"supervised", "mean-teacher", "ua-mt", "fixmatch", "patchcl", "base",
           "bcp", "unimatch", "ad-mt", "ad-mt uncut", "ad-mt plain"}) {
    Learner learner(make(method), run_of(GetParam(), method == "supervised" ? kLabeled : kImages));
    golden::fill(learner.student(), arena_);
    if (learner.teacher()) golden::fill(*learner.teacher(), arena_);
    learner.method().start(learner.state());  // a second teacher begins as the student
    const Tensor losses = arena_.empty({kSteps}, DType::f64);
    for (int64_t t = 0; t < kSteps; ++t) {
      if (t > 0 && t == learner.phase_begin()) learner.enter_phase();
      losses.data<double>()[t] = learner.step(batch_of(learner, arena_, "steps", std::to_string(t)));
    }
    close("steps." + method + ".loss", losses);
    for (const auto& [who, store] :
        {std::pair{".student.", &learner.student()}, std::pair{".teacher.", learner.teacher()}}) {
      if (!store) continue;
      TensorFile file;
      put_weights(file, *store, 0);
      for (const auto& [name, w] : file.tensors)
        if (!name.ends_with("num_batches_tracked"))
          close("steps." + method + who + name, golden::summary(arena_, name, w));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(PyTorch, GoldenMethods, golden::settings(), golden::setting_name);

// PatchCL on given patches, the teacher's view of which is another picture; what its parts gave is kept.
class KnownPatches : public PatchCl {
 public:
  Patches known;
  Tensor keys;
  mutable std::map<std::string, Tensor> seen;

  Patches draw_patches(const Step&, const Tensor&) override { return known; }
  Tensor enqueue(Step& step, const Patches& patches) override {
    return keys = PatchCl::enqueue(step, patches);
  }
  ClassStatistics statistics(
      Step& step, const Tensor& anchors, const std::vector<int32_t>& classes) const override {
    const ClassStatistics s = PatchCl::statistics(step, anchors, classes);
    seen = {{"mean", s.mean.value()}, {"covariance", s.covariance.value()},
        {"negative_mean", s.negative_mean.value()}, {"negative_covariance", s.negative_covariance.value()}};
    return s;
  }
};

// A step in a phase, from weights and queues that formulas give.
class GoldenPatchCl : public testing::TestWithParam<std::string> {
 protected:
  static constexpr int64_t kCapacity = 24, kFilled[kClasses] = {23, 24, 20, 4};
  std::string key() const { return "patchcl." + GetParam() + "."; }
  void close(const std::string& name, const Tensor& got) const { close(key(), name, got); }
  void close(const std::string& key, const std::string& name, const Tensor& got) const {
    ASSERT_TRUE(golden_.tensors.contains(key + name)) << name;
    golden::expect_close(key + name, got, golden_.tensors.at(key + name), 1e-9);
  }
  std::unique_ptr<KnownPatches> make(const std::string& contrast) const {
    auto method = std::make_unique<KnownPatches>();
    method->options().set(options_of(contrast == "info-nce" ? "patchcl info-nce" : "patchcl"));
    method->options().set("contrast", contrast);
    const Shape s{kPatches, kPatchSide, kPatchSide, 1};
    method->known = {golden::images(arena_, s, DType::f32, "patchcl.plain"),
        golden::images(arena_, s, DType::f32, "patchcl.augmented"), {}};
    for (int i = 0; i < kPatches; ++i) method->known.classes.push_back(i % kClasses);
    return method;
  }
  // filled_queues() of make_methods.py; the last class is not ready.
  static TensorFile queues() {
    const std::vector<double> u = golden::unit("patchcl.queue", kClasses * kCapacity * kDimension),
                              centre = golden::unit("patchcl.queue.centre", kClasses * kDimension);
    EmbeddingQueue queue(kClasses, kDimension, kCapacity);
    for (int64_t k = 0; k < kClasses; ++k)
      for (int64_t i = 0; i < kFilled[k]; ++i) {
        std::vector<double> v;
        for (int64_t d = 0; d < kDimension; ++d)
          v.push_back(u[size_t((k * kCapacity + i) * kDimension + d)] - 0.5 +
                      1.5 * (centre[size_t(k * kDimension + d)] - 0.5));
        std::vector<float> embedding;
        for (const double e : v) embedding.push_back(float(e / golden::norm(v)));
        queue.push(k, embedding.data());
      }
    TensorFile file;
    queue.save(file);
    AreaFilter(AreaFilterMode::corrected, kClasses).save(file);
    return file;
  }
  // The step's loss, or the term of that name, and its gradients.
  void expect_term(Learner& learner, const std::string& term, const std::string& golden_name) {
    expect_term(learner, term, golden_name, key());
  }
  void expect_term(
      Learner& learner, const std::string& term, const std::string& golden_name, const std::string& key) {
    golden::fill(learner.student(), arena_);
    golden::fill(*learner.teacher(), arena_, "teacher.");
    learner.method().load(queues());
    learner.go_to(GetParam() == "main" ? 6 : 1);
    learner.begin_step();
    learner.student().zero_grad();
    Tape tape(arena_);
    LossTerms log;
    Var loss = learner.loss(tape, batch_of(learner, arena_, "patchcl", ""), log);
    for (const auto& [name, v] : log.terms)
      if (name == term) loss = v;
    close(key, "loss." + golden_name, loss.value());
    tape.backward(loss);
    const auto gradients = golden::torch_gradients(learner.student(), arena_);
    double total = 0;
    for (const auto& [name, g] : gradients) total = std::hypot(total, golden::norm(golden::values(g)));
    ASSERT_GT(total, 0);
    for (const auto& [name, g] : gradients) {
      const std::string parameter = "grad." + golden_name + "." + name;
      if (golden_.tensors.contains(key + parameter)) close(key, parameter, golden::summary(arena_, name, g));
      else EXPECT_LE(golden::norm(golden::values(g)), 1e-9 * total) << parameter;
    }
  }

  Arena arena_{"test"};
  TensorFile golden_ = golden_file(arena_);
};

TEST_P(GoldenPatchCl, TermsGradientsAndStatisticsOfAStepAreThoseOfPyTorch) {
  auto owned = make("guided");
  KnownPatches& method = *owned;
  Learner learner(std::move(owned), run_of({DType::f64, Kernels::fast, true}, kImages));
  for (const std::string term : {"total", "ce", "contrast"}) expect_term(learner, term, term);
  expect_term(learner, "dice_loss", "dice");
  if (GetParam() == "main") expect_term(learner, "consistency", "consistency");
  close("keys", method.keys);
  for (const auto& [name, t] : method.seen) close(name, t);
}

namespace {

// PatchCL on windows and weights that formulas give (regions() of make_methods.py).
class KnownRegions : public PatchCl {
 public:
  Tensor keys;

  Regions draw_regions(const Step&, const Tensor&, const Tensor&, uint32_t site) override {
    const std::string name = site == site::patches ? "regions" : "regions.teacher";
    const Arena memory("regions");
    const std::vector<double> u = golden::unit(name, 3 * kPatches),
                              w = golden::unit(name + ".weights", kPatches * 256);
    Regions r{memory.empty({kPatches, 3}, DType::i32), memory.empty({kPatches, 16, 16}, DType::f32), {}};
    for (int64_t i = 0; i < kPatches; ++i) {
      for (int64_t a = 0; a < 3; ++a)
        r.windows.data<int32_t>()[3 * i + a] = int32_t(u[size_t(3 * i + a)] * (a == 0 ? kImages : 17));
      const auto begin = w.begin() + i * 256;
      const double sum = std::accumulate(begin, begin + 256, 0.);
      for (int64_t m = 0; m < 256; ++m) r.weights.data<float>()[i * 256 + m] = float(begin[m] / sum);
      r.classes.push_back(int32_t(i % kClasses));
    }
    return r;
  }
  Tensor push(Step& step, const Tensor& embeddings, const std::vector<int32_t>& classes) override {
    return keys = PatchCl::push(step, embeddings, classes);
  }
};

std::unique_ptr<KnownRegions> known_regions(const OptionValues& contrast) {
  auto method = std::make_unique<KnownRegions>();
  method->options().set(OptionValues{{"labeled-batch", "2"}, {"warm-up", "0.2"}, {"ramp-up", "0.5"},
      {"consistency-weight", "3"}, {"ema", "0.7"}, {"teacher-norm", "running"}, {"embedding", "6"},
      {"embed", "region"}, {"contrast-weight", "0.3"}, {"contrast-ramp", "true"}, {"queue", "24"},
      {"queue-ready", "20"}});
  method->options().set(contrast);
  return method;
}

}  // namespace

TEST_P(GoldenPatchCl, InfoNceOfRegionsHasTheDirectionsOfClassMeansAsPositives) {
  if (GetParam() != "main") return;
  Learner learner(
      known_regions({{"contrast", "info-nce"}, {"info-nce-tau", "0.4"}, {"info-nce-negatives", "5"}}),
      run_of({DType::f64, Kernels::fast, true}, kImages));
  expect_term(learner, "contrast", "info-nce", "region.");
}

TEST_P(GoldenPatchCl, RegionsAgainstClassMeansAreThoseOfPyTorch) {
  if (GetParam() != "main") return;
  auto owned = known_regions({{"contrast", "prototype"}, {"tau", "0.5"}});
  KnownRegions& method = *owned;
  Learner learner(std::move(owned), run_of({DType::f64, Kernels::fast, true}, kImages));
  for (const std::string term : {"contrast", "total"}) expect_term(learner, term, term, "region.");
  golden::expect_close("region.keys", method.keys, golden_.tensors.at("region.keys"), 1e-9);
}

TEST_P(GoldenPatchCl, InfoNceAgainstTheQueuesIsThatOfPyTorch) {
  Learner learner(make("info-nce"), run_of({DType::f64, Kernels::fast, true}, kImages));
  expect_term(learner, "contrast", "info-nce");
}

INSTANTIATE_TEST_SUITE_P(PyTorch, GoldenPatchCl, testing::Values("warm-up", "main"),
    [](const auto& info) { return info.param == "main" ? "main" : "warm_up"; });

}  // namespace
