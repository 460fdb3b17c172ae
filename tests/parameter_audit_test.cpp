// The audit of whole losses: right and wrong gradients, kinks, tensors that have no influence.
#include "train/audit/parameter_audit.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tensor/random.h"

using namespace patchcl;

namespace {

// L(a, b, c) = sum_i sin(a_i) b_i + b_i^3, or with kinks; c is not used.
class Loss : public testing::Test {
 protected:
  Loss() : arena_("test") {
    for (const char* name : {"a", "b", "c"})
      layout_.add_parameter({.name = name, .shape = {3, 5}, .init = Init::fan_in_uniform, .fan_in = 1});
    store_ = std::make_unique<ParamStore>(layout_, arena_, DType::f64, true);
    store_->init(3);
    for (int64_t i = 0; i < 15; ++i) {
      grad(0)[i] = std::cos(value(0)[i]) * value(1)[i];
      grad(1)[i] = std::sin(value(0)[i]) + 3 * value(1)[i] * value(1)[i];
    }
  }
  double* value(int i) { return store_->value(i).data<double>(); }
  double* grad(int i) { return store_->grad(i).data<double>(); }
  double loss() {
    double sum = 0;
    for (int64_t i = 0; i < 15; ++i) sum += std::sin(value(0)[i]) * value(1)[i] + std::pow(value(1)[i], 3);
    return sum;
  }
  std::vector<ParameterCheck> audit(const ParameterAuditOptions& options = {}) {
    return audit_parameters(
        *store_, [this] { return loss(); }, options);
  }
  Arena arena_;
  ParamLayout layout_;
  std::unique_ptr<ParamStore> store_;
};

}  // namespace

TEST_F(Loss, RightGradientsPassAndUnusedParametersAreCalledZero) {
  const auto checks = audit();
  ASSERT_EQ(checks.size(), 3u);
  EXPECT_EQ(verdict(checks), ExitCode::ok);
  for (const ParameterCheck& c : checks)
    EXPECT_EQ(c.verdict(), c.name == "c" ? "ok (zero)" : "ok") << c.name << " " << c.where;
}

TEST_F(Loss, ValuesAreRestoredToTheBit) {
  const std::vector<double> before(value(0), value(0) + 15);
  audit();
  EXPECT_EQ(before, std::vector<double>(value(0), value(0) + 15));
}

TEST_F(Loss, TheWorstOffenderComesFirst) {
  for (int64_t i = 0; i < 15; ++i) grad(1)[i] *= 1.001;
  const auto checks = audit();
  EXPECT_EQ(checks[0].name, "b");
  EXPECT_EQ(checks[0].verdict(), "FAILED");
  EXPECT_EQ(verdict(checks), ExitCode::audit);
}

TEST_F(Loss, OneWrongEntryIsSeenByTheDirection) {
  grad(0)[11] = 0;
  EXPECT_EQ(verdict(audit({.entries = 1})), ExitCode::audit);
}

TEST_F(Loss, NaNAndZeroGradientsFail) {
  grad(0)[7] = std::nan("");
  EXPECT_EQ(verdict(audit()), ExitCode::audit);
  for (int64_t i = 0; i < 15; ++i) grad(0)[i] = 0;
  EXPECT_EQ(verdict(audit()), ExitCode::audit);
}

TEST_F(Loss, NoChecksIsNoSuccess) { EXPECT_EQ(verdict(std::vector<ParameterCheck>{}), ExitCode::audit); }

TEST_F(Loss, ASpotCheckTakesSomeTensorsOnly) { EXPECT_EQ(audit({.tensors = 2}).size(), 2u); }

// |x| close to its kink: the step that straddles it is recognised, and a smaller one still judges the
// gradient.
TEST_F(Loss, AKinkNextToTheParameterIsNotAnError) {
  const auto kinked = [this] { return std::fabs(value(0)[0] - 3e-6) + std::fabs(value(0)[1]); };
  value(0)[0] = 0;
  value(0)[1] = 0.5;
  for (int64_t i = 0; i < 15; ++i) grad(0)[i] = grad(1)[i] = 0;
  grad(0)[0] = -1;
  grad(0)[1] = 1;
  auto checks = audit_parameters(*store_, kinked, {.entries = 15});
  EXPECT_EQ(verdict(checks), ExitCode::ok) << checks[0].name << " " << checks[0].where;
  grad(0)[0] = -1.1;
  checks = audit_parameters(*store_, kinked, {.entries = 15});
  EXPECT_EQ(verdict(checks), ExitCode::audit);
}

TEST_F(Loss, ATensorThatSitsOnKinksIsNotCalledOk) {
  for (int64_t i = 0; i < 15; ++i) value(0)[i] = 1e-10;
  const auto checks = audit_parameters(*store_, [this] {
    double sum = 0;
    for (int64_t i = 0; i < 15; ++i) sum += std::fabs(value(0)[i]);
    return sum;
  });
  const auto a = std::find_if(checks.begin(), checks.end(), [](const auto& c) { return c.name == "a"; });
  EXPECT_GT(a->kinks, 0);
  EXPECT_NE(a->verdict(), "ok");
  EXPECT_EQ(verdict(checks), ExitCode::audit);
}
