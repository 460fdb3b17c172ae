// Whole training losses, numeric against analytic: every method, every parameter tensor.
#include "train/audit/step_audit.h"

#include "tests/golden.h"
#include "train/audit/parameter_audit.h"
#include "train/audit/term_report.h"
#include "train/methods/matched_weight.h"

using namespace patchcl;

namespace {

struct Choice {
  std::string name, method;
  OptionValues options = {};
};

// Two labelled and two unlabelled images of 32x32.
Batch small_batch(const Arena& arena) {
  Batch b;
  const Tensor labels = golden::labels(arena, {4, 32, 32}, 4, "audit.labels");
  fill(labels.rows(2, 2), 255);
  for (const char* name : {"audit.images", "audit.strong", "audit.other", "audit.weak"})
    b.views.push_back({golden::images(arena, {4, 32, 32, 1}, DType::f32, name), labels});
  b.labeled = 2;
  b.ids = {"a", "b", "c", "d"};
  return b;
}

// Options for a run this small, as far as the method reads them.
OptionValues options_of(const Choice& c) {
  const std::unique_ptr<Method> method = make_method(c.method);
  OptionValues values;
  for (const auto& [name, value] : OptionValues{{"warm-up", "0"}, {"queue", "64"}, {"queue-ready", "4"},
           {"patches", "3"}, {"dropout-passes", "2"}})
    if (method->options().contains(name)) values.push_back({name, value});
  values.insert(values.end(), c.options.begin(), c.options.end());
  return values;
}

LearnerOptions small_run() {
  LearnerOptions o;
  o.network = {.classes = 4, .widths = {4, 4, 8, 8, 8}};
  o.run = {.iterations = 10, .batch = 4, .size = 32};
  o.seed = 5;
  return o;
}

// The batch, as the method takes it.
void set(StepAudit& step, Batch batch, int64_t iteration) {
  step.learner().go_to(iteration);
  const Phase& phase = step.learner().phase();
  batch.views.resize(phase.views.size());
  if (phase.unlabeled == 0) batch = transformed(batch, [](const Tensor& t) { return t.rows(0, 2); });
  step.set(batch, iteration);
}

// A few steps in, so that queues are filled and teacher and student differ.
std::unique_ptr<StepAudit> started(const Choice& c, const Batch& batch) {
  auto step = std::make_unique<StepAudit>(c.method, options_of(c), small_run());
  for (int64_t i = 0; i < 3; ++i) {
    set(*step, batch, i);
    step->train(0.05);
  }
  set(*step, batch, 5);
  return step;
}

class EveryMethod : public testing::TestWithParam<Choice> {};

}  // namespace

TEST_P(EveryMethod, GradientsOfTheWholeLossAreRight) {
  const Arena arena("test");
  const auto step = started(GetParam(), small_batch(arena));
  const double loss = step->gradient();
  EXPECT_EQ(loss, step->loss());  // a repeatable function
  // All tensors of the method that matters most, a sample for the others.
  const bool all = GetParam().name == "patchcl_all_tensors";
  const int tensors = all ? int(step->layout().parameters().size()) : 20;
  const ParameterAuditOptions options{.entries = 1, .directions = all ? 0 : 1, .tensors = tensors};
  const auto checks = audit_parameters(
      step->student(), [&] { return step->loss(); }, options);
  EXPECT_EQ(checks.size(), size_t(tensors));
  EXPECT_EQ(verdict(checks), ExitCode::ok);
  for (const ParameterCheck& c : checks)
    EXPECT_TRUE(c.ok()) << c.name << " " << c.verdict() << " " << c.error_over_tolerance << " " << c.where;
}

TEST_P(EveryMethod, TermsAddUpToTheTotalGradient) {
  const Arena arena("test");
  const auto step = started(GetParam(), small_batch(arena));
  const auto terms = step->terms();
  ASSERT_FALSE(terms.empty());
  std::vector<double> sum(size_t(step->student().grads().numel()));
  for (const TermGradient& t : terms)
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += t.weight * t.gradient.data<double>()[i];
  const double* total = step->student().grads().data<double>();
  double error = 0, norm = 0;
  for (size_t i = 0; i < sum.size(); ++i) {
    error = std::hypot(error, sum[i] - total[i]);
    norm = std::hypot(norm, total[i]);
  }
  EXPECT_LE(error, 1e-12 * norm);
}

namespace {
// Every registered method as it is, and the ways whose losses differ.
std::vector<Choice> choices() {
  std::vector<Choice> all;
  for (const MethodEntry& m : methods()) {
    if (m.order >= 1000) continue;  // of other tests
    OptionValues options;
    if (m.make()->options().contains("confidence")) options = {{"confidence", "0.3"}};
    if (m.make()->options().contains("consistency")) options = {};
    all.push_back({m.name, m.name, options});
  }
  const std::vector<Choice> more{{"patchcl_all_tensors", "patchcl", {{"hard-negatives", "off"}}},
      {"patchcl_info_nce", "patchcl", {{"contrast", "info-nce"}}},
      {"patchcl_absent_negatives", "patchcl", {{"contrast", "info-nce"}, {"absent-negatives", "true"}}},
      {"patchcl_student_anchors", "patchcl", {{"hard-negative-anchors", "student"}}},
      {"patchcl_intra_inter", "patchcl", {{"contrast", "intra-inter"}, {"queue-ready", "32"}}},
      {"local_contrast_global", "local-contrast", {{"global-share", "1"}, {"local-share", "0"}}},
      {"local_contrast_byol", "local-contrast",
          {{"global-share", "1"}, {"local-share", "0"}, {"global-form", "byol"}}},
      {"local_contrast_simsiam", "local-contrast",
          {{"global-share", "1"}, {"local-share", "0"}, {"global-form", "simsiam"}}},
      {"local_contrast_blocks", "local-contrast",
          {{"pixels", "block"}, {"block", "16"}, {"form", "paper"}, {"head-relu", "true"}}},
      {"patchcl_region", "patchcl",
          {{"embed", "region"}, {"contrast", "prototype"}, {"tau", "0.2"}, {"head-norm", "true"},
              {"sampling", "sure"}, {"replacement", "false"}, {"near-foreground", "true"}}},
      {"patchcl_region_info_nce", "patchcl", {{"embed", "region"}, {"contrast", "info-nce"}}},
      {"patchcl_attention", "patchcl",
          {{"embed", "attention"}, {"embed-level", "1"}, {"contrast", "prototype"}, {"tau", "0.2"}}},
      {"patchcl_region_mixed", "patchcl",
          {{"embed", "region"}, {"pooled-covariance", "true"}, {"contrast-ramp", "true"},
              {"consistency", "dice"}, {"confidence", "0.3"}, {"mix", "both"}}},
      {"supervised_pdcr", "supervised",
          {{"pdcr", "0.2"}, {"pdcr-decoder", "0.1"}, {"pdcr-cross", "0.3"}, {"pdcr-width", "6"},
              {"pdcr-position", "true"}}},
      {"mean_teacher_pdcr", "mean-teacher",
          {{"pdcr", "0.2"}, {"pdcr-patch", "hierarchy"}, {"pdcr-affinity", "variation"},
              {"pdcr-levels", "0,2"}, {"pdcr-unlabeled", "true"}, {"pdcr-confidence", "0.3"}}},
      {"base_pdcr", "base",
          {{"confidence", "0.3"}, {"pdcr-decoder", "0.2"}, {"pdcr-form", "l2"}, {"pdcr-affinity", "dice"},
              {"pdcr-patch", "hierarchy"}, {"pdcr-average", "ratio"}, {"pdcr-unlabeled", "true"}}},
      {"base_confident", "base", {{"confidence", "0.3"}}},
      {"patchcl_cross_entropy", "patchcl", {{"consistency", "ce"}, {"confidence", "0.3"}}},
      {"patchcl_copy_paste", "patchcl", {{"copy-paste", "true"}, {"confidence", "0.3"}, {"warm-up", "0"}}}};
  all.insert(all.end(), more.begin(), more.end());
  return all;
}
}  // namespace

INSTANTIATE_TEST_SUITE_P(Methods, EveryMethod, testing::ValuesIn(choices()), [](const auto& info) {
  std::string name = info.param.name;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

TEST(StepAudit, PatchClsContrastTakesPart) {
  const Arena arena("test");
  const auto step = started({"patchcl", "patchcl"}, small_batch(arena));
  bool seen = false;
  for (const TermGradient& t : step->terms())
    if (t.name == "contrast") seen = t.weight > 0 && golden::norm(golden::values(t.gradient)) > 1e-6;
  EXPECT_TRUE(seen);
}

TEST(StepAudit, AWrongGradientOfOneTensorIsFoundAndNamed) {
  const Arena arena("test");
  const auto step = started({"mean-teacher", "mean-teacher"}, small_batch(arena));
  step->gradient();
  const int wrong = 7;
  const Tensor g = step->student().grad(wrong);
  for (int64_t i = 0; i < g.numel(); ++i) g.data<double>()[i] *= 1.01;
  const auto checks =
      audit_parameters(step->student(), [&] { return step->loss(); }, {.entries = 1, .directions = 0});
  EXPECT_EQ(verdict(checks), ExitCode::audit);
  EXPECT_EQ(checks[0].name, step->layout().parameters()[wrong].name);
}

TEST(StepAudit, LayersAreNamedByLevel) {
  EXPECT_EQ(layer_of("encoder.in_conv.conv_conv.0.weight"), "encoder.in_conv");
  EXPECT_EQ(layer_of("decoder.up2.conv1x1.bias"), "decoder.up2");
  EXPECT_EQ(layer_of("projection.3.bias"), "projection");
}

// After one measurement, on the encoder, which patches and images share.
TEST(MatchedWeight, TheMeasuredShareIsTheOneAskedFor) {
  const Arena arena("test");
  const Batch batch = small_batch(arena);
  const Choice matched{"matched", "patchcl", {{"contrast-match", "0.15"}}};
  const auto measured = started(matched, batch), step = started(matched, batch);
  step->method().see(shared_gradients(*measured));
  set(*step, batch, 5);
  double supervised = 0, contrast = 0;
  const std::vector<TermGradient> terms = step->terms();
  for (const ParamInfo& p : step->layout().parameters()) {
    if (!p.name.starts_with("encoder.")) continue;
    for (int64_t i = p.offset; i < p.offset + p.shape.numel(); ++i) {
      double sum = 0;
      for (const TermGradient& t : terms) {
        const double g = t.weight * t.gradient.data<double>()[i];
        if (t.name == "ce" || t.name == "dice_loss") sum += g;
        if (t.name == "contrast") contrast = std::hypot(contrast, g);
      }
      supervised = std::hypot(supervised, sum);
    }
  }
  EXPECT_NEAR(contrast / supervised, 0.15, 1e-9);
}

TEST(MatchedWeight, NormsAreAveragedAndKept) {
  MatchedWeight a(0.5, 7), b(0.5, 7);
  EXPECT_EQ(a.weight(), 7);
  a.see({3, 0});  // no contrast in that step
  EXPECT_EQ(a.weight(), 7);
  a.see({2, 4});
  EXPECT_DOUBLE_EQ(a.weight(), 0.5 * 2 / 4);
  a.see({7, 1});
  EXPECT_DOUBLE_EQ(a.weight(), 0.5 * 3 / 3.4);
  TensorFile file;
  a.save(file);
  b.load(file);
  EXPECT_EQ(b.weight(), a.weight());
  EXPECT_FALSE(a.due(0));
  EXPECT_FALSE(a.due(100));
  EXPECT_TRUE(a.due(400));
}
