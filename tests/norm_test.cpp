// Batch norm, activation and dropout beyond the gradient battery: running statistics by hand, the mask, the
// fused pass.
#include <gtest/gtest.h>

#include <cmath>

#include "autograd/ops/norm_act.h"
#include "autograd/ops/pointwise.h"
#include "tensor/device.h"
#include "tensor/parallel.h"
#include "tensor/random.h"

using namespace patchcl;

namespace {

const Arena arena("test");

Tensor tensor(const Shape& shape, const std::vector<double>& v, DType dtype = DType::f32) {
  const Tensor t = arena.empty(shape, dtype);
  for (int64_t i = 0; i < t.numel(); ++i) {
    if (dtype == DType::i64) t.data<int64_t>()[i] = int64_t(v[size_t(i)]);
    if (dtype == DType::f32) t.data<float>()[i] = float(v[size_t(i)]);
    if (dtype == DType::f64) t.data<double>()[i] = v[size_t(i)];
  }
  return t;
}

Tensor random(const Shape& shape, uint32_t site, DType dtype, double mean = 0, double deviation = 1) {
  Rng rng(7, 0, site);
  std::vector<double> v(size_t(shape.numel()));
  for (double& e : v) e = mean + deviation * rng.normal();
  return tensor(shape, v, dtype);
}

Tensor filled(const Shape& shape, double value, DType dtype = DType::f32) {
  const Tensor t = arena.empty(shape, dtype);
  fill(t, value);
  return t;
}

std::vector<double> numbers(const Tensor& t) {
  std::vector<double> v(size_t(t.numel()));
  for (size_t i = 0; i < v.size(); ++i) v[i] = t.item(int64_t(i));
  return v;
}

double max_difference(const Tensor& a, const Tensor& b) {
  const std::vector<double> x = numbers(a), y = numbers(b);
  double m = 0;
  for (size_t i = 0; i < x.size(); ++i)
    m = std::isnan(x[i] - y[i]) ? INFINITY : std::max(m, std::fabs(x[i] - y[i]));
  return m;
}

std::vector<Isa> instruction_sets() {
  std::vector<Isa> all;
  for (Isa i : kIsas)
    if (i <= isa()) all.push_back(i);
  return all;
}

// Settings of the process that a test may change.
class Norm : public testing::Test {
 protected:
  void TearDown() override {
    set_kernels(Kernels::fast);
    set_threads(threads_);
    set_isa(isa_);
  }
  const int threads_ = threads();
  const Isa isa_ = isa();
};

struct Result {
  Tensor y, dx, dgamma, dbeta, running_mean, running_var;
};

const Tensor seed_and_step = tensor({2}, {1337, 5}, DType::i64);

// batch norm, leaky ReLU and dropout of x (rows, channels), fused or one op each.
Result run(bool fused, bool training, const Tensor& x, double p) {
  const Shape channels{x.shape()[-1]};
  const DType dtype = x.dtype();
  const Tensor gamma = random(channels, 1, dtype), beta = random(channels, 2, dtype),
               dy = random(x.shape(), 3, dtype);
  Result r{{}, filled(x.shape(), 0, dtype), filled(channels, 0, dtype), filled(channels, 0, dtype),
      random(channels, 4, dtype), filled(channels, 1.5, dtype)};
  const BatchNormOptions options{training, r.running_mean, r.running_var};
  Tape tape(arena);
  const Var vx = tape.parameter(x, r.dx, "x"), vg = tape.parameter(gamma, r.dgamma, "gamma"),
            vb = tape.parameter(beta, r.dbeta, "beta"), rng = tape.constant(seed_and_step);
  const Var y = fused ? norm_act_dropout(vx, vg, vb, options, 0.2, p, rng, 6)
                      : dropout(leaky_relu(batch_norm(vx, vg, vb, options), 0.2), p, rng, 6);
  r.y = y.value();
  tape.backward(y, dy);
  return r;
}

}  // namespace

TEST_F(Norm, FusedEqualsOneOpEach) {
  for (Kernels k : {Kernels::naive, Kernels::fast})
    for (DType dtype : {DType::f32, DType::f64})
      for (int64_t channels : {3, 8, 16, 80})
        for (bool training : {true, false}) {
          set_kernels(k);
          const double tolerance = dtype == DType::f32 ? 2e-5 : 1e-13;
          const Tensor x = random({2, 13, 11, channels}, 0, dtype, 0.5, 2);
          const Result a = run(true, training, x, 0.3), b = run(false, training, x, 0.3);
          EXPECT_LE(max_difference(a.y, b.y), tolerance) << channels;
          EXPECT_LE(max_difference(a.dx, b.dx), tolerance) << channels;
          EXPECT_LE(max_difference(a.dgamma, b.dgamma), 30 * tolerance) << channels;
          EXPECT_LE(max_difference(a.dbeta, b.dbeta), 30 * tolerance) << channels;
          EXPECT_EQ(max_difference(a.running_mean, b.running_mean), 0);
          EXPECT_EQ(max_difference(a.running_var, b.running_var), 0);
          for (int64_t i = 0; i < x.numel(); ++i)
            ASSERT_EQ(a.y.item(i) == 0, b.y.item(i) == 0) << "mask differs at " << i;
        }
}

// Four pixels 1 2 3 6: mean 3, squared deviations 4 + 1 + 0 + 9 = 14, so 14/4 normalises and 14/3 is
// remembered.
TEST_F(Norm, RunningStatisticsByHand) {
  for (Kernels k : {Kernels::naive, Kernels::fast})
    for (int64_t channels : {1, 4, 16}) {
      set_kernels(k);
      std::vector<double> x;
      for (double v : {1, 2, 3, 6})
        for (int64_t c = 0; c < channels; ++c) x.push_back(v + double(c));
      const Tensor mean = filled({channels}, 10), variance = filled({channels}, 1);
      for (int step = 1; step <= 2; ++step) {
        Tape tape(arena, {.grad = false});
        const Var one = tape.constant(filled({channels}, 1)), zero = tape.constant(filled({channels}, 0));
        const Var y =
            batch_norm(tape.constant(tensor({1, 2, 2, channels}, x)), one, zero, {true, mean, variance});
        EXPECT_NEAR(y.value().item(0), -2 / std::sqrt(3.5 + 1e-5), 1e-6);
        for (int64_t c = 0; c < channels; ++c) {
          EXPECT_NEAR(mean.item(c), step == 1 ? 9.3 + 0.1 * double(c) : 8.67 + 0.19 * double(c), 1e-5);
          EXPECT_NEAR(variance.item(c), step == 1 ? 0.9 + 1.4 / 3 : 0.81 + 0.19 * 14 / 3, 1e-6);
        }
      }
      const std::vector<double> before = numbers(mean);
      Tape tape(arena, {.grad = false});
      const Var gamma = tape.constant(filled({channels}, 3)), beta = tape.constant(filled({channels}, 0.5));
      const Var y =
          batch_norm(tape.constant(tensor({1, 2, 2, channels}, x)), gamma, beta, {false, mean, variance});
      EXPECT_NEAR(y.value().item(0), 3 * (1 - 8.67) / std::sqrt(0.81 + 0.19 * 14 / 3 + 1e-5) + 0.5, 1e-5);
      EXPECT_EQ(numbers(mean), before) << "evaluation must not move them";
    }
}

// A mean a thousand times the deviation: E[x^2] - m^2 in float would have lost all digits.
TEST_F(Norm, VarianceOfNumbersFarFromZero) {
  for (Isa i : instruction_sets()) {
    set_isa(i);
    for (auto [mean, channels] : {std::pair{1e3, 32}, {-3e4, 32}, {-3e4, 8}}) {
      const Tensor x = random({3, 64, 40, channels}, 0, DType::f32, mean, 1);
      Tensor y[2], variance[2];
      for (int k = 0; k < 2; ++k) {
        set_kernels(k == 0 ? Kernels::naive : Kernels::fast);
        const Result r = run(true, true, x, 0);
        y[k] = r.y;
        variance[k] = r.running_var;
      }
      EXPECT_LE(max_difference(variance[0], variance[1]), 1e-6) << isa_name(i) << " " << mean;
      EXPECT_LE(max_difference(y[0], y[1]), 1e-5) << isa_name(i) << " " << mean;
    }
    const Tensor constant = filled({1, 9, 9, 16}, 12345.678);
    set_kernels(Kernels::fast);
    EXPECT_EQ(run(true, true, constant, 0).running_var.item(3), float(0.9 * 1.5))
        << "a constant channel has no variance";
  }
}

TEST_F(Norm, DropoutKeepsItsShareAndScalesIt) {
  const int64_t n = 1 << 20;
  for (double p : {0.05, 0.5, 0.9}) {
    Tape tape(arena, {.grad = false});
    const Var y = dropout(tape.constant(filled({n}, 3)), p, tape.constant(seed_and_step), 4);
    int64_t kept = 0;
    for (int64_t i = 0; i < n; ++i)
      if (const double v = y.value().item(i); v != 0) {
        ++kept;
        ASSERT_FLOAT_EQ(float(v), float(3 / (1 - p)));
      }
    const double sigma = std::sqrt(p * (1 - p) / double(n));
    EXPECT_NEAR(double(kept) / double(n), 1 - p, 5 * sigma);
  }
}

TEST_F(Norm, MaskIsTheSameForAllThreadsKernelsAndInstructionSets) {
  const DropoutSite where{0.3, 0xABCDEF};
  const int64_t words = 3001;
  const auto draw = [&](DropoutSite site, std::vector<double> rng) {
    const Tensor mask = arena.empty({words}, DType::i64);
    DropoutMask::draw(tensor({2}, rng, DType::i64), site, mask);
    return std::vector<int64_t>(mask.data<int64_t>(), mask.data<int64_t>() + words);
  };
  const std::vector<double> rng{-123456789012, 4294967299};  // negative seed, step beyond 32 bits
  set_kernels(Kernels::naive);
  const auto expected = draw(where, rng);
  for (Kernels k : {Kernels::naive, Kernels::direct, Kernels::fast})
    for (Isa i : instruction_sets())
      for (int n : {1, 2, 3}) {
        set_kernels(k);
        set_isa(i);
        set_threads(n);
        EXPECT_EQ(draw(where, rng), expected) << isa_name(i) << ", " << n << " threads";
      }
  EXPECT_NE(draw({0.3, 1}, rng), expected) << "another site";
  EXPECT_NE(draw(where, {1, 4294967299}), expected) << "another seed";
  EXPECT_NE(draw(where, {-123456789012, 3}), expected) << "another step";
  const auto all = draw({0, 1}, rng);
  EXPECT_EQ(all, std::vector<int64_t>(size_t(words), -1)) << "p = 0 keeps everything";
}

TEST_F(Norm, ResultsDoNotDependOnThreads) {
  for (int64_t channels : {48, 8}) {
    const Tensor x = random({2, 67, 44, channels}, 0, DType::f32);
    set_threads(1);
    const Result one = run(true, true, x, 0.3);
    for (int n : {2, 3}) {
      set_threads(n);
      const Result r = run(true, true, x, 0.3);
      EXPECT_EQ(numbers(r.y), numbers(one.y));
      EXPECT_EQ(numbers(r.dx), numbers(one.dx));
      EXPECT_EQ(numbers(r.dgamma), numbers(one.dgamma));
      EXPECT_EQ(numbers(r.running_var), numbers(one.running_var));
    }
  }
}

// Of 8 channels two pixels are one of 16: by naive kernels and on every instruction set the same.
TEST_F(Norm, FewChannelsAreFolded) {
  for (int64_t channels : {1, 2, 4, 8}) {
    const Tensor x = random({3, 40, 36, channels}, 0, DType::f32, 0.5, 2);
    set_kernels(Kernels::naive);
    const Result want = run(true, true, x, 0.3);
    set_kernels(Kernels::fast);
    for (Isa i : instruction_sets()) {
      set_isa(i);
      const Result got = run(true, true, x, 0.3);
      EXPECT_LE(max_difference(got.y, want.y), 1e-5) << isa_name(i) << " " << channels;
      EXPECT_LE(max_difference(got.dx, want.dx), 1e-5) << isa_name(i) << " " << channels;
      EXPECT_LE(max_difference(got.dgamma, want.dgamma), 2e-3) << isa_name(i) << " " << channels;
      EXPECT_LE(max_difference(got.running_var, want.running_var), 1e-5) << isa_name(i) << " " << channels;
    }
  }
}

TEST_F(Norm, RefusesWhatCannotBe) {
  EXPECT_THROW(Dropout({1.0, 0}), Error);
  EXPECT_THROW(Dropout({-0.1, 0}), Error);
  EXPECT_THROW(NormAct({.dropout = {1.5, 0}}), Error);
  EXPECT_THROW(run(true, true, filled({1, 1, 1, 3}, 0), 0), Error) << "the variance of one pixel";
  const NormAct op({});
  EXPECT_THROW(op.shape({{2, 4, 4, 3}, {3}, {3}, {3}, {4}}), Error);
}
