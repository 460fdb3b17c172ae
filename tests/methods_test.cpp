// The semi-supervised methods on a tiny network: what they read, what they leave alone, what a resume
// restores.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "tests/command_line.h"
#include "train/methods/step.h"
#include "train/setup/learner.h"

using namespace patchcl;
using patchcl::test::program_methods;

namespace {

constexpr int64_t kSide = 16, kImages = 4, kClasses = 3;

std::vector<float> bytes_of(const Tensor& t) { return {t.data<float>(), t.data<float>() + t.numel()}; }

// A trial of a few steps of a learner on batches of squares on noise.
class Trial {
 public:
  Trial(const std::string& method, OptionValues options)
      : learner_(method, with_small_queue(method, options), run()) {}

  // Images, labels and a strong view as a function of the iteration; unlabelled rows hold `poison`.
  Batch batch(int poison = 255) const {
    const Phase& phase = learner_.phase();
    const int64_t images = phase.labeled + phase.unlabeled;
    Batch b;
    b.views.resize(phase.views.size());
    for (View& v : b.views) v.images = memory_.empty({images, kSide, kSide, 1}, DType::f32);
    b.views[0].labels = memory_.empty({images, kSide, kSide}, DType::u8);
    b.labeled = phase.labeled;
    Rng rng(1, uint64_t(learner_.iteration())), poison_rng(2, uint64_t(learner_.iteration()));
    for (int64_t n = 0; n < images; ++n) {
      const int64_t top = rng.below(8), left = rng.below(8);
      for (int64_t i = 0; i < kSide * kSide; ++i) {
        const int64_t r = i / kSide - top, c = i % kSide - left, at = n * kSide * kSide + i;
        const bool outside = r < 0 || c < 0 || r >= 8 || c >= 8;
        const int shown = outside ? 0 : 1 + (r >= 4),
                  hidden = poison == 255 ? 255 : int(poison_rng.below(kClasses));
        b.images().data<float>()[at] = float(0.2 + 0.3 * shown + 0.1 * rng.uniform());
        for (size_t v = 1; v < b.views.size(); ++v)
          b.views[v].images.data<float>()[at] = b.images().data<float>()[at] * (1 - 0.2f * float(v));
        const int known = only_class >= 0 ? only_class : shown;
        b.labels().data<uint8_t>()[at] = uint8_t(n < b.labeled ? known : hidden);
      }
    }
    for (View& v : b.views) v.labels = b.views[0].labels;
    return b;
  }

  // `see` looks at the tape after backward, with every gradient kept.
  double step(int poison = 255, const std::function<void(const Tape&)>& see = {}) {
    learner_.begin_step();
    double value;
    {
      Tape tape(memory_, {.keep = bool(see), .check_finite = true});
      LossTerms terms;
      const Var total = learner_.backward(tape, batch(poison), terms);
      value = total.value().item();
      if (see) see(tape);
      log = terms.values;
      for (const auto& [name, v] : terms.readings) log.push_back({name, v.value().item()});
    }
    learner_.update();
    learner_.end_step();
    return value;
  }

  // A second run that goes on from here.
  void resume(Trial& from) {
    TensorFile file;
    from.learner_.method().save(file);
    learner_.method().load(file);
    learner_.student().copy_from(from.learner_.student());
    if (learner_.teacher()) learner_.teacher()->copy_from(*from.learner_.teacher());
    learner_.go_to(from.learner_.iteration());
  }

  Learner& learner() { return learner_; }
  std::vector<float> student() { return bytes_of(learner_.student().values()); }
  std::vector<float> teacher() { return bytes_of(teacher_store().values()); }
  std::vector<float> student_buffers() { return bytes_of(learner_.student().buffers()); }
  std::vector<float> teacher_buffers() { return bytes_of(teacher_store().buffers()); }

  std::vector<std::pair<std::string, double>> log;
  int only_class = -1;

 private:
  static OptionValues with_small_queue(const std::string& method, OptionValues values) {
    const bool contrasts =
        std::ranges::count(values, std::pair<std::string, std::string>("contrast", "off")) == 0;
    if (method == "patchcl" && contrasts) values.insert(values.begin(), {"queue-ready", "8"});
    return values;
  }
  static LearnerOptions run() {
    LearnerOptions o;
    o.network = {.classes = int(kClasses), .widths = {4, 8}, .dropout = {0.1, 0.2}};
    o.run = {.iterations = 12, .batch = kImages, .size = kSide};
    o.run.rate = {.schedule = Schedule::constant, .peak = 0.05, .length = 12};
    o.optimizer = {.momentum = 0, .weight_decay = 0};
    o.seed = 7;
    return o;
  }
  ParamStore& teacher_store() { return learner_.teacher() ? *learner_.teacher() : learner_.student(); }

  Arena memory_{"test"};
  Learner learner_;
};

struct Variant {
  std::string name, method;
  OptionValues options;
};

void PrintTo(const Variant& v, std::ostream* s) { *s << v.name; }

// Every registered method as it is, and the ways that differ.
std::vector<Variant> variants() {
  std::vector<Variant> all;
  for (const std::string& method : program_methods()) {
    std::string name = method;
    std::replace(name.begin(), name.end(), '-', '_');
    OptionValues options;
    if (method == "ua-mt") options = {{"dropout-passes", "2"}};
    if (method == "fixmatch") options = {{"confidence", "0.3"}};
    all.push_back({name, method, options});
  }
  // As many labelled as unlabelled images hide which rows are which.
  for (const std::string method :
      {"mean-teacher", "ua-mt", "fixmatch", "base", "patchcl", "ad-mt", "unimatch"})
    for (const char* labeled : {"1", "3"}) {
      std::string name = std::string(method) + "_" + labeled + "_of_4";
      std::replace(name.begin(), name.end(), '-', '_');
      all.push_back({name, method, {{"labeled-batch", labeled}}});
    }
  const std::vector<Variant> more{{"mean_teacher_copy_paste", "mean-teacher", {{"copy-paste", "true"}}},
      {"patchcl_copy_paste", "patchcl", {{"copy-paste", "true"}, {"largest-component", "true"}}},
      {"patchcl_info_nce", "patchcl", {{"contrast", "info-nce"}}},
      {"supervised_pdcr", "supervised", {{"pdcr", "0.2"}, {"pdcr-levels", "0,1"}, {"pdcr-cross", "0.1"}}},
      {"mean_teacher_pdcr", "mean-teacher",
          {{"pdcr", "0.2"}, {"pdcr-levels", "0,1"}, {"pdcr-unlabeled", "true"}, {"pdcr-confidence", "0.4"}}},
      {"local_contrast_blocks", "local-contrast",
          {{"pixels", "block"}, {"block", "8"}, {"form", "paper"}, {"denominator", "negatives"},
              {"candidates", "image"}, {"global-head", "random"}}},
      {"patchcl_released", "patchcl",
          {{"hard-negatives", "released"}, {"area-filter", "released"}, {"sampling", "boxes"},
              {"consistency", "ce"}}}};
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

class Methods : public testing::TestWithParam<Variant> {
 protected:
  Trial trial() const { return Trial(GetParam().method, GetParam().options); }
};

INSTANTIATE_TEST_SUITE_P(
    All, Methods, testing::ValuesIn(variants()), [](const auto& info) { return info.param.name; });

constexpr int kSteps = 8;  // of 12: warm-up and semi-supervised stage for every method

}  // namespace

TEST_P(Methods, NeverReadLabelsOfUnlabeledImages) {
  Trial clean = trial(), poisoned = trial();
  for (int i = 0; i < kSteps; ++i) EXPECT_EQ(clean.step(255), poisoned.step(1)) << "step " << i;
  EXPECT_EQ(clean.student(), poisoned.student());
  EXPECT_EQ(clean.teacher(), poisoned.teacher());
}

TEST_P(Methods, TrainTheStudentsParametersAndNoOthers) {
  Trial r = trial();
  const Tensor& values = r.learner().student().values();
  const float *begin = values.data<float>(), *end = begin + values.numel();
  for (int i = 0; i < kSteps; ++i)
    r.step(255, [&](const Tape& tape) {
      for (const Tape::Node& n : tape.nodes()) {
        if (!n.is_parameter) continue;
        EXPECT_TRUE(n.value.data<float>() >= begin && n.value.data<float>() < end) << n.label;
      }
    });
}

TEST_P(Methods, StopGradientsAtEverythingButTheStudent) {
  Trial t = trial();
  for (int i = 0; i < kSteps; ++i)
    t.step(255, [](const Tape& tape) {
      for (const Tape::Node& n : tape.nodes()) {
        if (n.op || n.is_parameter)
          continue;  // leaves: images, labels, targets, pseudo-labels, queue statistics
        EXPECT_FALSE(n.requires_grad) << n.label;
        EXPECT_FALSE(bool(n.grad)) << n.label;
      }
    });
}

TEST_P(Methods, TeachWithTheAverageOfWeightsAndBuffers) {
  Trial r = trial();
  const std::vector<float> weights = r.teacher(), buffers = r.teacher_buffers();
  if (!r.learner().teacher()) return;
  // bcp's teacher waits for the second phase.
  do r.step();
  while (r.learner().phase_number() + 1 < r.learner().phases().size());
  r.step();
  r.step();
  EXPECT_NE(weights, r.teacher());
  EXPECT_NE(buffers, r.teacher_buffers());
}

// What a run's page draws beside the losses.
TEST_P(Methods, LogReadingsThatAreKnownAsSuch) {
  Trial r = trial();
  for (int i = 0; i < kSteps; ++i) {
    r.step();
    for (const auto& [name, value] : r.log) EXPECT_TRUE(is_reading(name)) << name;
  }
}

TEST_P(Methods, ResumeBitForBit) {
  Trial straight = trial(), first = trial(), second = trial();
  for (int i = 0; i < 6; ++i) EXPECT_EQ(straight.step(), first.step());
  second.resume(first);
  for (int i = 6; i < kSteps; ++i) EXPECT_EQ(straight.step(), second.step()) << "step " << i;
  EXPECT_EQ(straight.student(), second.student());
  EXPECT_EQ(straight.teacher(), second.teacher());
}

TEST_P(Methods, PlanAtLeastTheMemoryTheyUse) {
  Trial r = trial();
  for (int i = 0; i < kSteps; ++i) r.learner().step(r.batch());
  EXPECT_GT(r.learner().activations().stats().peak, 0u);
  EXPECT_GE(r.learner().planned_bytes(), r.learner().activations().stats().peak);
}

TEST_P(Methods, HaveAsManyLabelledImagesAsAsked) {
  const OptionValues& options = GetParam().options;
  if (options.empty() || options[0].first != "labeled-batch") return;
  Trial r = trial();
  const Phase& last = r.learner().phases().back();
  const int64_t labeled = std::stoll(options[0].second);
  EXPECT_EQ(last.labeled, labeled);
  const int64_t shown_twice = GetParam().method == "unimatch" ? 2 : 1;  // its second half is what is pasted
  EXPECT_EQ(last.unlabeled, shown_twice * (kImages - labeled));
}

TEST_P(Methods, LearnFromImagesThatShowOneClassOnly) {
  Trial r = trial();
  for (int only : {0, 1})
    for (int i = 0; i < 4; ++i) {
      r.only_class = only;
      EXPECT_TRUE(std::isfinite(r.step()));
    }
}

namespace {
bool has_term(const std::vector<std::pair<std::string, double>>& log, const std::string& name) {
  for (const auto& [n, v] : log)
    if (n == name) return true;
  return false;
}
double value_of(const std::vector<std::pair<std::string, double>>& log, const std::string& name) {
  for (const auto& [n, v] : log)
    if (n == name) return v;
  return -1;
}
}  // namespace

TEST(PatchCl, ContrastWaitsForTwoClassesWithFullEnoughQueues) {
  Trial a("patchcl", {}), b("patchcl", {{"contrast", "off"}});
  a.only_class = b.only_class = 0;
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(a.step(), b.step()) << "one class: the loss is that without contrast, exactly";
  EXPECT_EQ(value_of(a.log, "ready_classes"), 1);
  EXPECT_EQ(a.student(), b.student());
  EXPECT_FALSE(has_term(b.log, "ready_classes"));
}

TEST(PatchCl, ContrastTrainsTheStudent) {
  Trial a("patchcl", {}), b("patchcl", {{"contrast", "off"}});
  a.step();
  b.step();
  EXPECT_NE(a.student(), b.student());
}

TEST(PatchCl, PatchesLeaveRunningStatisticsAlone) {
  Trial a("patchcl", {}), b("patchcl", {{"contrast", "off"}});
  a.step();
  b.step();
  EXPECT_EQ(a.student_buffers(), b.student_buffers());
}

TEST(PatchCl, PatchThatDoesNotFitIsAnErrorThatSaysWhatToDo) {
  try {
    Trial r("patchcl", {{"patch-side", "32"}});
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::usage);
    EXPECT_NE(std::string(e.what()).find("does not fit into images of 16x16"), std::string::npos) << e.what();
  }
  EXPECT_THROW(Trial("patchcl", {{"patch-side", "7"}}), Error);
}

TEST(UaMt, WeightMasksByEntropyAndNormalisesAsPublished) {
  const Arena arena("test");
  const Tensor q = arena.empty({1, 1, 3, 2}, DType::f32);
  const float p[] = {1, 0, 0.5f, 0.5f, 0.9f, 0.1f};
  std::copy(p, p + 6, q.data<float>());
  const Tensor w = arena.empty({1, 1, 3}, DType::f32), threshold = arena.empty({1}, DType::f64);
  fill(threshold, 0.75 * std::log(2.));
  find_certain_pixels(q, threshold, w, arena);
  EXPECT_FLOAT_EQ(w.data<float>()[0], 6. / 4);
  EXPECT_FLOAT_EQ(w.data<float>()[1], 0);
  EXPECT_FLOAT_EQ(w.data<float>()[2], 6. / 4);
  fill(q, 0.5);
  fill(threshold, 0.1);
  find_certain_pixels(q, threshold, w, arena);
  EXPECT_EQ(w.data<float>()[0], 0) << "no certain pixel: no loss, no NaN";
}

TEST(Terms, PseudoLabelsTakeTheFirstOfEqualsAndMaskByConfidence) {
  const Arena arena("test");
  const Tensor p = arena.empty({1, 1, 3, 2}, DType::f32);
  const float v[] = {0.5f, 0.5f, 0.2f, 0.8f, 0.74f, 0.26f};
  std::copy(v, v + 6, p.data<float>());
  const PseudoLabels y{arena.empty({1, 1, 3}, DType::u8), arena.empty({1, 1, 3}, DType::f32)};
  find_pseudo_labels(p, 0.75, false, y);
  EXPECT_EQ(y.labels.data<uint8_t>()[0], 0);
  EXPECT_EQ(y.labels.data<uint8_t>()[1], 1);
  EXPECT_EQ(y.weight.data<float>()[0], 0);
  EXPECT_EQ(y.weight.data<float>()[1], 1);
  EXPECT_EQ(y.weight.data<float>()[2], 0);
}

// `patchcl bench methods` gives every registered method a batch that it can take.
TEST(MethodsAtWork, EachHasItsStepInTheBench) {
  const patchcl::test::Outcome o = patchcl::test::run_patchcl("bench methods --batch 4 --size 32 --pairs 1");
  EXPECT_EQ(o.code, 0) << o.output;
  for (const std::string& name : program_methods())
    EXPECT_NE(o.output.find("| " + name + " |"), std::string::npos) << name;
}
