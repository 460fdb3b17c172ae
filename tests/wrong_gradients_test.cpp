// The checker, checked: wrong backward passes that the battery must reject, right ones that it must accept.
//
// First the small ops of toy_ops.h, each with the mistakes that people make in exactly that op. Then
// every registered op in turn, spoilt from outside in ways that suit any op. A battery that let one of them
// pass would be worthless for the rest.
#include <gtest/gtest.h>

#include <cmath>

#include "tensor/arena.h"
#include "tensor/device.h"
#include "tensor/parallel.h"
#include "tests/toy_ops.h"

using namespace toy;

namespace {

struct Spoil {
  const char* name;
  // Changes the right gradient of input t.
  std::function<void(Vec& dx, const Backward& b, size_t t)> change = [](Vec&, const Backward&, size_t) {};
  bool ignores_accumulate = false, ignores_overwrite = false, ignores_dy = false, absent_when_alone = false;
};

size_t largest(const Vec& v) {
  size_t best = 0;
  for (size_t i = 0; i < v.size(); ++i)
    if (std::fabs(v[i]) > std::fabs(v[best])) best = i;
  return best;
}

auto times(double factor) {
  return [factor](Vec& dx, const Backward&, size_t) {
    for (double& e : dx) e *= factor;
  };
}

std::vector<Spoil> spoils() {
  static int calls = 0;
  return {
      {"zero", times(0)},
      {"sign flipped", times(-1)},
      {"1.05 times", times(1.05)},
      {"1.01 times", times(1.01)},
      {"1.001 times", times(1.001)},
      {"one element zero", [](Vec& dx, const Backward&, size_t) { dx[largest(dx)] = 0; }},
      {"one element NaN", [](Vec& dx, const Backward&, size_t) { dx[0] = std::nan(""); }},
      {"one element infinite", [](Vec& dx, const Backward&, size_t) { dx[0] = HUGE_VAL; }},
      {"a constant added",
          [](Vec& dx, const Backward&, size_t) { dx[largest(dx)] += 1e-3 * std::fabs(dx[largest(dx)]); }},
      {"f32 only: 1.001 times",
          [](Vec& dx, const Backward& b, size_t t) {
            if (b.dy.dtype() == DType::f32) times(1.001)(dx, b, t);
          }},
      {"depends on the number of threads",
          [](Vec& dx, const Backward&, size_t) { dx[largest(dx)] *= 1 + 1e-6 * (threads() - 1); }},
      {"differs from run to run",
          [](Vec& dx, const Backward&, size_t) { dx[largest(dx)] *= 1 + 1e-6 * (calls++ % 2); }},
      {"reads what was not saved",
          [](Vec& dx, const Backward& b, size_t) { dx[0] += b.y ? 0 * read(b.y)[0] : 0; }},
      {"not zero for a zero upstream", [](Vec& dx, const Backward&, size_t) { dx[0] += 1e-12; }},
      {.name = "overwrites instead of accumulating", .ignores_accumulate = true},
      {.name = "accumulates instead of overwriting", .ignores_overwrite = true},
      {.name = "ignores the upstream gradient", .ignores_dy = true},
      {.name = "missing when wanted alone", .absent_when_alone = true},
  };
}

// `right` with the gradient of input t spoilt.
class Spoilt final : public Op {
 public:
  Spoilt(std::shared_ptr<const Op> right, Spoil spoil, size_t t)
      : right_(std::move(right)), spoil_(std::move(spoil)), t_(t) {}
  const char* name() const override { return right_->name(); }
  Shape shape(const Shapes& x) const override { return right_->shape(x); }
  Saves saves() const override { return right_->saves(); }
  bool differentiable(size_t i) const override { return right_->differentiable(i); }
  std::vector<AuxSpec> aux(const Shapes& x, DType d) const override { return right_->aux(x, d); }
  size_t workspace(const Shapes& x, DType d, Device device) const override {
    return right_->workspace(x, d, device);
  }
  bool is_view() const override { return right_->is_view(); }

 private:
  void forward_cpu(const Forward& f) const override { right_->forward(f); }
  void backward_cpu(const Backward& b) const override {
    Tensor dy = b.dy;
    if (spoil_.ignores_dy) write(Vec(size_t(dy.numel()), 1), dy = arena_.empty(b.dy.shape(), b.dy.dtype()));
    std::vector<GradOut> dx(b.dx.begin(), b.dx.end());
    if (dx[t_]) dx[t_] = {arena_.empty(b.dx[t_].t.shape(), dy.dtype()), false};
    right_->backward({b.x, b.y, b.aux, dy, dx, b.workspace});
    if (!dx[t_]) return;
    Vec gradient = read(dx[t_].t);
    spoil_.change(gradient, b, t_);
    int wanted = 0;
    for (const GradOut& g : b.dx) wanted += bool(g);
    if (spoil_.absent_when_alone && wanted == 1) return;
    const bool accumulate = (b.dx[t_].accumulate && !spoil_.ignores_accumulate) || spoil_.ignores_overwrite;
    write(gradient, b.dx[t_].t, accumulate);
  }
  std::shared_ptr<const Op> right_;
  Spoil spoil_;
  size_t t_;
  Arena arena_{"spoilt"};
};

int64_t size_of(const OpCase& c) {
  int64_t n = 0;
  for (const OpInput& in : c.inputs) n += in.shape.numel();
  return n;
}

bool carries_gradient(const OpCase& c, size_t t) {
  return c.inputs[t].dtype == DType::f64 && c.op->differentiable(t) && !(c.zero_gradient >> t & 1);
}

// The smallest case in which input t has a gradient and several elements.
const OpCase* smallest_case(const OpSpec& spec, size_t t) {
  const OpCase* best = nullptr;
  for (const OpCase& c : spec.cases)
    if (t < c.inputs.size() && carries_gradient(c, t) && (!best || size_of(c) < size_of(*best))) best = &c;
  return best;
}

bool rejected(const std::vector<Check>& checks, const std::string& input) {
  for (const Check& c : checks)
    if (!c.ok && c.check.find(input) != std::string::npos) return true;
  return false;
}

}  // namespace

TEST(WrongGradients, MistakesInSmallOpsAreRejected) {
  EXPECT_GE(std::size(kMistakes), 20u);
  for (const Mistake& m : kMistakes)
    for (uint64_t seed = 1; seed <= 5; ++seed)
      EXPECT_EQ(verdict(audit_toy(m.toy, m.wrong, seed)), ExitCode::audit)
          << m.toy.name << ": " << m.wrong << ", seed " << seed;
}

TEST(WrongGradients, RightSmallOpsAreAcceptedForManySeeds) {
  for (const Toy* toy : {&kSoftmax, &kNorm, &kConv, &kPool, &kLoss})
    for (uint64_t seed = 1; seed <= (toy == &kLoss ? 5 : 50); ++seed)
      for (const Check& c : audit_toy(*toy, "", seed))
        EXPECT_TRUE(c.ok) << toy->name << ", seed " << seed << ": " << c.check << ", error/tolerance "
                          << c.error_over_tolerance << " " << c.where;
}

// A test that leaves gamma at 1 cannot see that gamma is missing: why every input of a spec is random.
TEST(WrongGradients, OnesForGammaHideAMissingGamma) {
  Toy toy = kNorm;
  toy.inputs[1].draw = draw::values({1});
  EXPECT_EQ(verdict(audit_toy(toy, "gamma ignored", 1)), ExitCode::ok);
}

class EveryOp : public testing::TestWithParam<const OpSpec*> {};

TEST_P(EveryOp, SpoiltInAnyWayIsRejectedByNameAndInput) {
  const OpSpec& spec = *GetParam();
  for (size_t t = 0; t < 32; ++t) {
    const OpCase* right = smallest_case(spec, t);
    if (!right) continue;
    for (const Spoil& s : spoils()) {
      const bool unsaved_output = !right->op->saves().output && !right->op->is_view();
      if (std::string(s.name) == "reads what was not saved" && !unsaved_output) continue;
      // An op with one differentiable input is always asked for it alone.
      OpCase wrong = *right;
      wrong.op = std::make_shared<Spoilt>(right->op, s, t);
      const std::vector<Check> checks = audit(spec, wrong, {.samples = 64});
      EXPECT_TRUE(rejected(checks, "x[" + std::to_string(t) + "]"))
          << spec.op << " x[" << t << "], " << right->label << ": " << s.name;
      for (const Check& c : checks) EXPECT_EQ(c.op, spec.op);
    }
  }
}

TEST_P(EveryOp, AsItIsIsAcceptedForManySeeds) {
  const OpSpec& spec = *GetParam();
  const auto smaller = [](const OpCase& a, const OpCase& b) { return size_of(a) < size_of(b); };
  const OpCase& c = *std::min_element(spec.cases.begin(), spec.cases.end(), smaller);
  for (uint64_t seed = 2; seed <= 15; ++seed)
    for (const Check& k : audit(spec, c, {.seed = seed}))
      EXPECT_TRUE(k.ok) << k.op << " " << k.label << ", seed " << seed << ": " << k.check
                        << ", error/tolerance " << k.error_over_tolerance << " " << k.where;
}

namespace {
std::vector<const OpSpec*> all_specs() {
  std::vector<const OpSpec*> all;
  for (const OpSpec& s : specs()) all.push_back(&s);
  return all;
}
INSTANTIATE_TEST_SUITE_P(
    WrongGradients, EveryOp, testing::ValuesIn(all_specs()), [](const auto& info) { return info.param->op; });
}  // namespace

TEST(Checker, RejectsWhatIsNoProof) {
  const OpCase right{"toy", std::make_shared<ToyOp>(kSoftmax, ""), kSoftmax.inputs, toy::softmax};
  EXPECT_EQ(verdict(audit({"softmax", {right}}, right)), ExitCode::ok);

  OpCase c = right;
  EXPECT_EQ(verdict(audit({"another op", {c}}, c)), ExitCode::audit);  // the spec of something else
  c.reference = nullptr;
  EXPECT_EQ(verdict(audit({"softmax", {c}}, c)), ExitCode::audit);
  c.reference = [](const Vecs& x) { return Vec(x[0].size() + 1); };
  EXPECT_EQ(verdict(audit({"softmax", {c}}, c)), ExitCode::audit);  // a reference of another size
  c.reference = [](const Vecs& x) {
    Vec y = toy::softmax(x);
    y[3] *= 1 + 1e-9;
    return y;
  };
  EXPECT_EQ(
      verdict(audit({"softmax", {c}}, c)), ExitCode::audit);  // forward and backward may share a mistake

  c = right;
  c.zero_gradient = 1;  // declared zero, but it is not
  EXPECT_EQ(verdict(audit({"softmax", {c}}, c)), ExitCode::audit);
}

// The sum of a softmax is 1 whatever x: its gradient is zero, and a test that looks at nothing else accepts
// anything.
TEST(Checker, RejectsAVacuousGradientUnlessDeclared) {
  const Toy constant{"sum_of_softmax", {{{4, kRow}}}, {1},
      [](const Vecs& x) {
        double sum = 0;
        for (double e : toy::softmax(x)) sum += e;
        return Vec{sum};
      },
      [](const Vecs& x, const Vec&, const std::string&) { return Vecs{Vec(x[0].size())}; }};
  EXPECT_EQ(verdict(audit_toy(constant, "", 1)), ExitCode::audit);
  OpCase declared{"toy", std::make_shared<ToyOp>(constant, ""), constant.inputs, constant.forward};
  declared.zero_gradient = 1;
  EXPECT_EQ(verdict(audit({"sum_of_softmax", {declared}}, declared)), ExitCode::ok);
}

TEST(Checker, AThrowingOpFailsAndOneWithoutKernelDidNotRun) {
  const auto with = [](ExitCode code) {
    static ExitCode thrown;
    thrown = code;
    Toy toy = kSoftmax;
    toy.forward = [](const Vecs&) -> Vec { fail(thrown, "softmax", "cannot"); };
    return audit_toy(toy, "", 1);
  };
  const std::vector<Check> broken = with(ExitCode::internal), absent = with(ExitCode::device);
  ASSERT_EQ(broken.size(), 1u);
  EXPECT_FALSE(broken[0].ok);
  EXPECT_TRUE(broken[0].ran);
  EXPECT_FALSE(absent.back().ok);
  EXPECT_FALSE(absent.back().ran);
}

TEST(Verdict, NothingIsOkThatFailedDidNotRunOrWasNotThere) {
  Check good, bad, absent;
  good.ok = true;
  absent.ran = false;
  EXPECT_EQ(verdict({}), ExitCode::audit);
  EXPECT_EQ(verdict({good}), ExitCode::ok);
  EXPECT_EQ(verdict({good, bad, good}), ExitCode::audit);
  EXPECT_EQ(verdict({good, absent}), ExitCode::audit);
}
