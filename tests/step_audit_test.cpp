// Whole training losses, numeric against analytic: every method, every parameter tensor.
#include "train/audit/step_audit.h"

#include "tests/golden.h"
#include "train/audit/parameter_audit.h"

using namespace patchcl;

namespace {

struct Choice {
  const char* name;
  const char* method;
  std::function<void(MethodOptions&)> adjust = [](MethodOptions&) {};
};

const UNetConfig kSmall{.classes = 4, .widths = {4, 4, 8, 8, 8}};

// Two labelled and two unlabelled images of 32x32.
Batch small_batch(const Arena& arena) {
  Batch b;
  b.images = golden::images(arena, {4, 32, 32, 1}, DType::f32, "audit.images");
  b.strong = golden::images(arena, {4, 32, 32, 1}, DType::f32, "audit.strong");
  b.labels = golden::labels(arena, {4, 32, 32}, 4, "audit.labels");
  fill(b.labels.rows(2, 2), 255);
  b.labeled = 2;
  b.ids = {"a", "b", "c", "d"};
  return b;
}

MethodOptions options_of(const Choice& c) {
  MethodOptions o;
  o.warm_up = 0;
  o.queue = 64;
  o.queue_ready = 4;
  o.patches_per_class = 3;
  o.confidence = 0.3;
  o.dropout_passes = 2;
  c.adjust(o);
  return o;
}

// A few steps in, so that queues are filled and teacher and student differ.
std::unique_ptr<StepAudit> started(const Choice& c, const Batch& batch) {
  auto step = std::make_unique<StepAudit>(c.method, options_of(c), kSmall, 5);
  for (int64_t i = 0; i < 3; ++i) {
    step->set(batch, i, 10);
    step->train(0.05);
  }
  step->set(batch, 5, 10);
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
  const bool all = std::string(GetParam().name) == "patchcl_all_tensors";
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

INSTANTIATE_TEST_SUITE_P(Methods, EveryMethod,
    testing::Values(Choice{"mean_teacher", "mean-teacher"}, Choice{"ua_mt", "ua-mt"},
        Choice{"fixmatch", "fixmatch"}, Choice{"patchcl", "patchcl"},
        Choice{"patchcl_all_tensors", "patchcl",
            [](MethodOptions& o) { o.hard_negatives.scheme = HardNegatives::off; }},
        Choice{"patchcl_info_nce", "patchcl", [](MethodOptions& o) { o.contrast = Contrast::info_nce; }},
        Choice{"patchcl_cross_entropy", "patchcl",
            [](MethodOptions& o) { o.consistency = Consistency::cross_entropy; }},
        Choice{"patchcl_copy_paste", "patchcl", [](MethodOptions& o) { o.copy_paste = true; }}),
    [](const auto& info) { return std::string(info.param.name); });

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
