// Optimisers and the teacher's average: three steps with other rates each, against the formulas worked out
// apart; torch.optim 1.13 gives the same numbers.
#include <gtest/gtest.h>

#include "tensor/device.h"
#include "tensor/parallel.h"
#include "train/optim/optimizer.h"
#include "train/optim/schedule.h"

using namespace patchcl;

namespace {

const std::vector<double> kStart{0.5, -1.25, 2};
const std::vector<std::vector<double>> kGradients{{0.1, -0.2, 0.3}, {-0.4, 0.05, 0.25}, {0.3, 0.3, -0.6}};
const std::vector<double> kRates{0.1, 0.05, 0.02};

Tensor tensor(const Arena& arena, const std::vector<double>& v, DType d) {
  const Tensor t = arena.empty({int64_t(v.size())}, d);
  dispatch(d, [&](auto zero) { std::copy(v.begin(), v.end(), t.data<decltype(zero)>()); });
  return t;
}

void expect_three_steps(Optimizer& optimizer, const Arena& arena, DType d, const std::vector<double>& want) {
  const Tensor p = tensor(arena, kStart, d);
  for (int64_t t = 1; t <= 3; ++t) {
    optimizer.set(kRates[size_t(t - 1)], t);
    optimizer.step(p, tensor(arena, kGradients[size_t(t - 1)], d));
  }
  for (size_t i = 0; i < want.size(); ++i)
    EXPECT_NEAR(p.item(int64_t(i)), want[i], d == DType::f64 ? 1e-13 : 3e-7) << i;
}

}  // namespace

TEST(Optimizer, SgdWithMomentumAndWeightDecay) {
  const Arena arena("test");
  for (DType d : {DType::f64, DType::f32}) {
    Sgd sgd({.momentum = 0.9, .weight_decay = 0.01}, 3, d, arena);
    expect_three_steps(sgd, arena, d, {0.50384023395, -1.224065235375, 1.9416897368});
  }
}

TEST(Optimizer, SgdFirstStepIsPlainGradientDescent) {
  const Arena arena("test");
  Sgd sgd({.momentum = 0.9, .weight_decay = 0}, 1, DType::f64, arena);
  const Tensor p = tensor(arena, {2}, DType::f64);
  sgd.set(0.5, 1);
  sgd.step(p, tensor(arena, {0.25}, DType::f64));
  EXPECT_EQ(p.item(), 2 - 0.5 * 0.25);
}

TEST(Optimizer, AdamWithBiasCorrection) {
  const Arena arena("test");
  for (DType d : {DType::f64, DType::f32}) {
    Adam adam({.weight_decay = 0.01}, 3, d, arena);
    expect_three_steps(adam, arena, d, {0.426558088471143, -1.1290328630184592, 1.8518423323173914});
  }
}

TEST(Optimizer, EmaMovesTheTeacherByOneMinusAlpha) {
  const Arena arena("test");
  for (DType d : {DType::f64, DType::f32}) {
    Ema ema(arena);
    const Tensor teacher = tensor(arena, {1, -2}, d), student = tensor(arena, {3, 4}, d);
    ema.set(0.75);
    ema.update(teacher, student);
    EXPECT_EQ(teacher.item(0), 1.5);
    EXPECT_EQ(teacher.item(1), -0.5);
    ema.set(0);  // METHODS 4.4: min(1 - 1/(it+1), 0.99) is 0 at first, a copy of the student
    ema.update(teacher, student);
    EXPECT_EQ(teacher.item(1), 4);
  }
}

TEST(Optimizer, StepsAreBitEqualForAnyThreadCount) {
  const Arena arena("test");
  std::vector<double> start(100003), gradient(start.size());
  for (size_t i = 0; i < start.size(); ++i)
    start[i] = std::sin(double(i)), gradient[i] = std::cos(3 * double(i));
  const int before = threads();
  std::vector<double> sums;
  for (int n : {1, 3}) {
    set_threads(n);
    Adam adam({}, int64_t(start.size()), DType::f32, arena);
    const Tensor p = tensor(arena, start, DType::f32), g = tensor(arena, gradient, DType::f32);
    for (int64_t t = 1; t <= 2; ++t) {
      adam.set(0.01, t);
      adam.step(p, g);
    }
    double sum = 0;
    for (size_t i = 0; i < start.size(); ++i) sum += p.item(int64_t(i));
    sums.push_back(sum);
  }
  set_threads(before);
  EXPECT_EQ(sums[0], sums[1]);
}

TEST(Optimizer, BuffersThatDoNotFitAreAnError) {
  const Arena arena("test");
  Sgd sgd({}, 3, DType::f32, arena);
  sgd.set(0.1, 1);
  EXPECT_THROW(sgd.step(arena.zeros({4}, DType::f32), arena.zeros({4}, DType::f32)), Error);
}

TEST(Schedule, FollowsItsFormulas) {
  EXPECT_EQ(poly_lr(0.01, 0, 100), 0.01);
  EXPECT_DOUBLE_EQ(poly_lr(0.01, 50, 100), 0.01 * std::pow(0.5, 0.9));
  EXPECT_DOUBLE_EQ(gaussian_ramp(0, 40), std::exp(-5.));
  EXPECT_DOUBLE_EQ(gaussian_ramp(20, 40), std::exp(-1.25));
  EXPECT_EQ(gaussian_ramp(40, 40), 1);
  EXPECT_EQ(gaussian_ramp(500, 40), 1);
  EXPECT_EQ(gaussian_ramp(3, 0), 1);
  EXPECT_EQ(ema_alpha(0, 0.99), 0);
  EXPECT_EQ(ema_alpha(1, 0.99), 0.5);
  EXPECT_EQ(ema_alpha(100000, 0.99), 0.99);
}
