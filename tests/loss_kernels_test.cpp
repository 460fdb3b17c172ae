// The losses' fast kernels against naive for every instruction set, their errors, and what the audit does not
// reach: extreme logits, tails, many pixels.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "autograd/ops/softmax.h"
#include "losses/affinity_contrast.h"
#include "losses/cross_entropy.h"
#include "losses/dice.h"
#include "tensor/device.h"
#include "tensor/parallel.h"
#include "tensor/random.h"

using namespace patchcl;

namespace {

struct Problem {
  Arena arena{"test"};
  Tensor logits, labels, weight, gradient;

  Problem(int64_t images, int64_t side, int64_t classes, double scale = 3) {
    logits = arena.empty({images, side, side, classes}, DType::f32);
    gradient = arena.empty(logits.shape(), DType::f32);
    labels = arena.empty({images, side, side}, DType::u8);
    weight = arena.empty(labels.shape(), DType::f32);
    Rng rng(5);
    for (int64_t i = 0; i < logits.numel(); ++i) logits.data<float>()[i] = float(scale * rng.normal());
    for (int64_t i = 0; i < labels.numel(); ++i) {
      labels.data<uint8_t>()[i] = uint8_t(rng.below(classes));
      weight.data<float>()[i] = float(rng.uniform());
    }
  }

  // The loss, the gradient behind it, the softmax's sum: what must agree between kernels.
  std::vector<double> run() {
    fill_zero(gradient);
    Tape tape(arena);
    const Var z = tape.parameter(logits, gradient, "logits"), y = tape.constant(labels),
              w = tape.constant(weight);
    const Var loss = cross_entropy(z, y, w, /*border_weight=*/0.5), p = softmax(z);
    std::vector<double> out{loss.value().item()};
    tape.backward(loss);
    for (int64_t i = 0; i < logits.numel(); ++i) {
      out.push_back(p.value().data<float>()[i]);
      out.push_back(double(gradient.data<float>()[i]) * double(labels.numel()));
    }
    return out;
  }
};

std::string message(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::data);
    return e.what();
  }
  return "no error";
}

}  // namespace

// Equal logits: each pixel costs ln 3, one of the border class (2) three times as much.
TEST(LossKernels, BorderPixelsWeighMoreInTheCrossEntropy) {
  const Arena arena("test");
  const Tensor logits = arena.zeros({1, 2, 2, 3}, DType::f64),
               gradient = arena.zeros({1, 2, 2, 3}, DType::f64), labels = arena.zeros({1, 2, 2}, DType::u8);
  const uint8_t classes[] = {0, 1, 2, 2};
  std::copy_n(classes, 4, labels.data<uint8_t>());
  Tape tape(arena);
  const Var loss = cross_entropy(
      tape.parameter(logits, gradient, "logits"), tape.constant(labels), {}, /*border_weight=*/2);
  EXPECT_NEAR(loss.value().item(), (1 + 1 + 3 + 3) * std::log(3.0) / 4, 1e-12);
  tape.backward(loss);
  const double want[] = {-2. / 3, 1. / 3, 1. / 3, 1. / 3, -2. / 3, 1. / 3, 1, 1, -2, 1, 1, -2};
  for (int i = 0; i < 12; ++i) EXPECT_NEAR(gradient.data<double>()[i], want[i] / 4, 1e-12) << i;
}

TEST(LossKernels, EveryInstructionSetAgreesWithNaive) {
  const Isa best = isa();
  for (int64_t classes : {2, 3, 4, 5})
    for (int64_t side : {1, 5, 37}) {
      Problem p(3, side, classes);
      set_kernels(Kernels::naive);
      const std::vector<double> want = p.run();
      set_kernels(Kernels::fast);
      for (int i = 0; i <= int(best); ++i) {
        set_isa(Isa(i));
        const std::vector<double> got = p.run();
        for (size_t e = 0; e < want.size(); ++e)
          ASSERT_NEAR(got[e], want[e], 1e-6 * (1 + std::fabs(want[e])))
              << isa_name(Isa(i)) << " " << classes << " classes, element " << e;
      }
      set_isa(best);
    }
}

// Several tiles of each side, patches left out, one image without any.
TEST(LossKernels, AffinityContrastInTilesAgreesWithNaive) {
  const Arena arena("test");
  const Shape f{3, 130, 24}, g{3, 300, 24};
  Rng rng(7);
  const auto draw = [&](const Shape& shape, auto value) {
    const Tensor t = arena.empty(shape, DType::f32);
    for (int64_t i = 0; i < t.numel(); ++i) t.data<float>()[i] = float(value(i));
    return t;
  };
  const auto normal = [&](int64_t) { return 0.2 * rng.normal(); };
  const auto share = [&](int64_t) { return rng.uniform() / 3; };
  const Tensor x[] = {draw(f, normal), draw(g, normal), draw({3, 130, 3}, share), draw({3, 300, 3}, share),
      draw({3, 130}, [](int64_t i) { return i % 5 != 2; }),
      draw({3, 300}, [](int64_t i) { return i < 600 && i % 7 != 3; })};
  const auto run = [&](const AffinityContrastOptions& options) {
    const Tensor df = arena.zeros(f, DType::f32), dg = arena.zeros(g, DType::f32);
    Tape tape(arena);
    const Var a = tape.parameter(x[0], df, "f"), b = tape.parameter(x[1], dg, "g");
    const Var loss = affinity_contrast({a, tape.constant(x[2]), tape.constant(x[4])},
        {b, tape.constant(x[3]), tape.constant(x[5])}, options);
    tape.backward(loss);
    std::vector<double> out{loss.value().item()};
    for (const Tensor& d : {df, dg})
      for (int64_t i = 0; i < d.numel(); ++i) out.push_back(260 * double(d.data<float>()[i]));
    return out;
  };
  for (const AffinityForm form : {AffinityForm::contrastive, AffinityForm::l1, AffinityForm::l2})
    for (const Affinity affinity : {Affinity::ratio, Affinity::variation, Affinity::dice}) {
      const AffinityContrastOptions options{.form = form, .affinity = affinity, .tau = 0.3};
      set_kernels(Kernels::naive);
      const std::vector<double> want = run(options);
      set_kernels(Kernels::fast);
      const std::vector<double> got = run(options);
      for (size_t e = 0; e < want.size(); ++e)
        ASSERT_NEAR(got[e], want[e], 1e-5 * (1 + std::fabs(want[e])))
            << int(form) << " " << int(affinity) << ", element " << e;
    }
}

TEST(LossKernels, ExtremeLogitsStayFiniteAndNanIsSeen) {
  for (Kernels k : {Kernels::naive, Kernels::fast}) {
    set_kernels(k);
    Problem p(1, 8, 4, /*scale=*/1e4);
    for (double v : p.run()) ASSERT_TRUE(std::isfinite(v));
    p.logits.data<float>()[5] = NAN;
    EXPECT_TRUE(std::isnan(p.run()[0]));
  }
  set_kernels(Kernels::fast);
}

TEST(LossKernels, BitEqualForAnyThreadCount) {
  Problem p(3, 160, 4);  // several chunks
  const int before = threads();
  set_threads(1);
  const std::vector<double> one = p.run();
  set_threads(3);
  EXPECT_EQ(one, p.run());
  set_threads(before);
}

TEST(LossKernels, LabelOutsideTheClassesNamesImageAndValue) {
  Problem p(3, 4, 4);
  p.labels.data<uint8_t>()[2 * 16 + 7] = 255;
  Tape tape(p.arena);
  const Var z = tape.constant(p.logits), y = tape.constant(p.labels);
  for (const std::string& what : {message([&] { cross_entropy(z, y); }), message([&] { dice_loss(z, y); })}) {
    EXPECT_NE(what.find("image 2 of the batch"), std::string::npos) << what;
    EXPECT_NE(what.find("label 255"), std::string::npos) << what;
    EXPECT_NE(what.find("0..3"), std::string::npos) << what;
  }
}

TEST(LossKernels, DiceOfAClassThatIsAbsentAndNotPredictedIsZero) {
  const Arena arena("test");
  const Tensor p = arena.zeros({1, 2, 2, 2}, DType::f64), labels = arena.zeros({1, 2, 2}, DType::u8),
               dp = arena.zeros(p.shape(), DType::f64);
  for (int64_t i = 0; i < 4; ++i) p.data<double>()[2 * i] = 1;  // all background, rightly
  Tape tape(arena);
  const Var loss = dice_loss(tape.parameter(p, dp, "p"), tape.constant(labels));
  EXPECT_EQ(loss.value().item(), 0);
  tape.backward(loss);
  for (int64_t i = 0; i < 4; ++i) EXPECT_EQ(dp.data<double>()[2 * i + 1], 0);
}
