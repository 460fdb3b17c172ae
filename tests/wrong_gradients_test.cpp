// The checker, checked: wrong backward passes that the battery must reject, right ones that it must accept.
//
// First small ops written for this file, each with the mistakes that people make in exactly that op. Then
// every registered op in turn, spoilt from outside in ways that suit any op. A battery that let one of them
// pass would be worthless for the rest.
#include <gtest/gtest.h>

#include <cmath>

#include "autograd/spec.h"
#include "tensor/arena.h"
#include "tensor/device.h"
#include "tensor/parallel.h"

using namespace patchcl;

namespace {

using Vec = std::vector<double>;
using Vecs = std::vector<Vec>;

Vec read(const Tensor& t) {
  Vec v;
  for (int64_t i = 0; i < t.numel(); ++i) v.push_back(t.item(i));
  return v;
}

void write(const Vec& v, const Tensor& t, bool accumulate = false) {
  dispatch(t.dtype(), [&](auto zero) {
    auto* p = t.data<decltype(zero)>();
    for (size_t i = 0; i < v.size(); ++i) p[i] = decltype(zero)(accumulate ? p[i] + v[i] : v[i]);
  });
}

// --- Small ops with a choice of mistakes
// ----------------------------------------------------------------------------

// Formulas of one op on flat f64 numbers. `wrong` names the mistake to make; empty makes none.
struct Toy {
  const char* name;
  std::vector<OpInput> inputs;
  Shape y;
  Vec (*forward)(const Vecs& x);
  Vecs (*backward)(const Vecs& x, const Vec& dy, const std::string& wrong);
};

class ToyOp final : public Op {
 public:
  ToyOp(Toy toy, std::string wrong) : toy_(std::move(toy)), wrong_(std::move(wrong)) {}
  const char* name() const override { return toy_.name; }
  Shape shape(const Shapes&) const override { return toy_.y; }
  Saves saves() const override { return {.inputs = Saves::all}; }

 private:
  void forward_cpu(const Forward& f) const override { write(toy_.forward(values(f.x)), f.y); }
  void backward_cpu(const Backward& b) const override {
    const Vecs dx = toy_.backward(values(b.x), read(b.dy), wrong_);
    for (size_t i = 0; i < dx.size(); ++i)
      if (b.dx[i]) write(dx[i], b.dx[i].t, b.dx[i].accumulate);
  }
  static Vecs values(std::span<const Tensor> x) {
    Vecs v;
    for (const Tensor& t : x) v.push_back(read(t));
    return v;
  }
  Toy toy_;
  std::string wrong_;
};

std::vector<Check> audit_toy(const Toy& toy, const std::string& wrong, uint64_t seed) {
  const OpCase c{"toy", std::make_shared<ToyOp>(toy, wrong), toy.inputs, toy.forward};
  return audit({toy.name, {c}}, c, {.seed = seed});
}

// y_j = e^x_j / sum e^x over rows of 7;   dx = y (dy - <y, dy>)
constexpr int kRow = 7;
Vec softmax(const Vecs& x) {
  Vec y = x[0];
  for (size_t r = 0; r < y.size(); r += kRow) {
    double sum = 0;
    for (size_t j = r; j < r + kRow; ++j) sum += y[j] = std::exp(y[j]);
    for (size_t j = r; j < r + kRow; ++j) y[j] /= sum;
  }
  return y;
}
Vecs softmax_backward(const Vecs& x, const Vec& dy, const std::string& wrong) {
  const Vec y = softmax(x);
  Vec dx(y.size());
  for (size_t r = 0; r < y.size(); r += kRow) {
    double dot = 0;
    for (size_t j = r; j < r + kRow; ++j) dot += y[j] * dy[j];
    if (wrong == "inner product lost") dot = 0;
    for (size_t j = r; j < r + kRow; ++j) dx[j] = y[j] * (dy[j] - dot);
    if (wrong == "diagonal only")
      for (size_t j = r; j < r + kRow; ++j) dx[j] = y[j] * (1 - y[j]) * dy[j];
  }
  return {dx};
}

// y = gamma (x - mean) / sqrt(var + eps) + beta over 18 rows of 2 channels
constexpr int kRows = 18, kChannels = 2;
struct Moments {
  double mean, rstd;
};
Moments moments(const Vec& x, int c, int divisor = kRows) {
  double mean = 0, var = 0;
  for (int i = 0; i < kRows; ++i) mean += x[i * kChannels + c] / kRows;
  for (int i = 0; i < kRows; ++i) var += std::pow(x[i * kChannels + c] - mean, 2) / divisor;
  return {mean, 1 / std::sqrt(var + 1e-5)};
}
Vec normalise(const Vecs& x) {
  Vec y(x[0].size());
  for (size_t i = 0; i < y.size(); ++i) {
    const size_t c = i % kChannels;
    const Moments m = moments(x[0], int(c));
    y[i] = x[1][c] * (x[0][i] - m.mean) * m.rstd + x[2][c];
  }
  return y;
}
Vecs normalise_backward(const Vecs& x, const Vec& dy, const std::string& wrong) {
  Vec dx(x[0].size()), dgamma(kChannels), dbeta(kChannels);
  for (int c = 0; c < kChannels; ++c) {
    const Moments m = moments(x[0], c, wrong == "variance over N-1" ? kRows - 1 : kRows);
    const auto xhat = [&](int i) { return (x[0][i] - m.mean) * m.rstd; };
    for (int i = c; i < kRows * kChannels; i += kChannels) {
      dgamma[c] += dy[i] * xhat(i);
      dbeta[c] += dy[i];
    }
    const double gamma = wrong == "gamma ignored" ? 1 : x[1][c];
    const double mean_term = wrong == "mean term lost" ? 0 : dbeta[c] / kRows;
    const double xhat_term = wrong == "variance term lost" ? 0 : dgamma[c] / kRows;
    for (int i = c; i < kRows * kChannels; i += kChannels)
      dx[i] = gamma * m.rstd * (dy[i] - mean_term - xhat(i) * xhat_term);
  }
  if (wrong == "statistics taken as constants")
    for (size_t i = 0; i < dx.size(); ++i)
      dx[i] = x[1][i % kChannels] * moments(x[0], int(i % kChannels)).rstd * dy[i];
  return {dx, dgamma, dbeta};
}

// 3x3 convolution with padding 1 on (5,5,2) -> (5,5,3). fn(x index, w index, y index) for every product of
// the sum.
constexpr int kSide = 5, kIn = 2, kOut = 3;
template <class F>
void taps(F&& fn) {
  for (int i = 0; i < kSide; ++i)
    for (int j = 0; j < kSide; ++j)
      for (int p = 0; p < 3; ++p)
        for (int q = 0; q < 3; ++q) {
          const int u = i + p - 1, v = j + q - 1;
          if (u < 0 || v < 0 || u >= kSide || v >= kSide) continue;
          for (int a = 0; a < kIn; ++a)
            for (int b = 0; b < kOut; ++b)
              fn((u * kSide + v) * kIn + a, ((p * 3 + q) * kIn + a) * kOut + b, (i * kSide + j) * kOut + b);
        }
}
Vec convolve(const Vecs& x) {
  Vec y(kSide * kSide * kOut);
  for (size_t i = 0; i < y.size(); ++i) y[i] = x[2][i % kOut];
  taps([&](int a, int w, int b) { y[b] += x[0][a] * x[1][w]; });
  return y;
}
Vecs convolve_backward(const Vecs& x, const Vec& dy, const std::string& wrong) {
  Vec dx(x[0].size()), dw(x[1].size()), db(kOut);
  taps([&](int a, int w, int b) {
    const int flipped = (8 - w / (kIn * kOut)) * kIn * kOut + w % (kIn * kOut);
    dw[wrong == "dw kernel flipped" ? flipped : w] += x[0][a] * dy[b];
    const bool first_row = a < kSide * kIn, first_tap_row = w < 3 * kIn * kOut;
    if (!(wrong == "dx border taps lost" && first_row && first_tap_row))
      dx[a] += x[1][wrong == "dx kernel not flipped" ? flipped : w] * dy[b];
  });
  for (size_t i = 0; i < dy.size(); ++i)
    db[i % kOut] += dy[i] / (wrong == "db mean, not sum" ? kSide * kSide : 1);
  if (wrong == "db of one channel lost") db[1] = 0;
  return {dx, dw, db};
}

// 3x3 maximum with stride 2 on (7,7): windows overlap, so one x may win twice.
int winner(const Vec& x, int y) {
  int best = -1;
  for (int p = 0; p < 3; ++p)
    for (int q = 0; q < 3; ++q) {
      const int k = (2 * (y / 3) + p) * 7 + 2 * (y % 3) + q;
      if (best < 0 || x[k] > x[best]) best = k;
    }
  return best;
}
Vec pool(const Vecs& x) {
  Vec y;
  for (int i = 0; i < 9; ++i) y.push_back(x[0][winner(x[0], i)]);
  return y;
}
Vecs pool_backward(const Vecs& x, const Vec& dy, const std::string& wrong) {
  Vec dx(x[0].size());
  for (int i = 0; i < 9; ++i) {
    const int k = winner(x[0], i), neighbour = k ? k - 1 : k + 1;
    if (wrong == "second win overwrites the first") dx[k] = dy[i];
    else dx[wrong == "neighbour of the winner" ? neighbour : k] += dy[i];
  }
  return {dx};
}

// Mean cross-entropy of 1024 pixels with 4 classes: each gradient is below 1e-3, so absolute tolerances see
// nothing.
constexpr int kPixels = 1024, kClasses = 4;
Vec cross_entropy(const Vecs& x) {
  double loss = 0;
  for (int i = 0; i < kPixels; ++i) {
    double sum = 0;
    for (int k = 0; k < kClasses; ++k) sum += std::exp(x[0][i * kClasses + k]);
    loss += (std::log(sum) - x[0][i * kClasses + i % kClasses]) / kPixels;
  }
  return {loss};
}
Vecs cross_entropy_backward(const Vecs& x, const Vec& dy, const std::string& wrong) {
  Vec dx(x[0].size());
  for (int i = 0; i < kPixels; ++i) {
    double sum = 0;
    for (int k = 0; k < kClasses; ++k) sum += std::exp(x[0][i * kClasses + k]);
    for (int k = 0; k < kClasses; ++k) {
      const double p = std::exp(x[0][i * kClasses + k]) / sum,
                   onehot = k == i % kClasses && wrong != "label term lost";
      dx[i * kClasses + k] =
          (p - onehot) / (wrong == "sum, not mean" ? 1 : kPixels) * (wrong == "dy ignored" ? 1 : dy[0]);
    }
  }
  if (wrong == "all zero") dx.assign(dx.size(), 0);
  if (wrong == "10 % too large")
    for (double& e : dx) e *= 1.1;
  if (wrong == "last pixel forgotten") dx.back() = 0;
  return {dx};
}

const Toy kSoftmax{"softmax", {{{4, kRow}, draw::normal()}}, {4, kRow}, softmax, softmax_backward};
const Toy kNorm{"batch_norm", {{{kRows, kChannels}}, {{kChannels}}, {{kChannels}}}, {kRows, kChannels},
    normalise, normalise_backward};
const Toy kConv{"conv", {{{kSide, kSide, kIn}}, {{3, 3, kIn, kOut}}, {{kOut}}}, {kSide, kSide, kOut},
    convolve, convolve_backward};
const Toy kPool{"max_pool", {{{7, 7}, draw::distinct()}}, {3, 3}, pool, pool_backward};
const Toy kLoss{"cross_entropy", {{{kPixels, kClasses}}}, {1}, cross_entropy, cross_entropy_backward};

struct Mistake {
  const Toy& toy;
  const char* wrong;
};
const Mistake kMistakes[] = {
    {kSoftmax, "inner product lost"},
    {kSoftmax, "diagonal only"},
    {kNorm, "variance over N-1"},
    {kNorm, "gamma ignored"},
    {kNorm, "mean term lost"},
    {kNorm, "variance term lost"},
    {kNorm, "statistics taken as constants"},
    {kConv, "dw kernel flipped"},
    {kConv, "dx border taps lost"},
    {kConv, "dx kernel not flipped"},
    {kConv, "db mean, not sum"},
    {kConv, "db of one channel lost"},
    {kPool, "second win overwrites the first"},
    {kPool, "neighbour of the winner"},
    {kLoss, "label term lost"},
    {kLoss, "sum, not mean"},
    {kLoss, "dy ignored"},
    {kLoss, "all zero"},
    {kLoss, "10 % too large"},
    {kLoss, "last pixel forgotten"},
};

// --- Any op, spoilt from outside
// ------------------------------------------------------------------------------------

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
  const OpCase right{"toy", std::make_shared<ToyOp>(kSoftmax, ""), kSoftmax.inputs, softmax};
  EXPECT_EQ(verdict(audit({"softmax", {right}}, right)), ExitCode::ok);

  OpCase c = right;
  EXPECT_EQ(verdict(audit({"another op", {c}}, c)), ExitCode::audit);  // the spec of something else
  c.reference = nullptr;
  EXPECT_EQ(verdict(audit({"softmax", {c}}, c)), ExitCode::audit);
  c.reference = [](const Vecs& x) { return Vec(x[0].size() + 1); };
  EXPECT_EQ(verdict(audit({"softmax", {c}}, c)), ExitCode::audit);  // a reference of another size
  c.reference = [](const Vecs& x) {
    Vec y = softmax(x);
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
        for (double e : softmax(x)) sum += e;
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
