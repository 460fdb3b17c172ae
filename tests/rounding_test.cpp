// In which type an op computes and how often it rounds: on the CPU as in the kernel for the GPU, whatever
// headers a file includes.
#include <gtest/gtest.h>

#include <cmath>

#include "autograd/ops/dropout.h"
#include "autograd/ops/pointwise.h"
#include "tensor/bfloat16.h"
#include "tensor/device.h"
#include "tensor/random.h"
#include "train/optim/optimizer.h"

using namespace patchcl;

namespace {

Tensor random_tensor(const Arena& arena, int64_t n, uint64_t seed, float scale) {
  const Tensor t = arena.empty({n}, DType::f32);
  Rng rng(seed);
  for (int64_t i = 0; i < n; ++i) t.data<float>()[i] = scale * float(rng.uniform(-1, 1));
  return t;
}

TEST(Rounding, AdamOfFloatsComputesInFloat) {
  const Arena arena("test");
  const int64_t n = 1000;
  const Tensor p = random_tensor(arena, n, 1, 1), g = random_tensor(arena, n, 2, 0.1f),
               before = arena.empty({n}, DType::f32);
  copy(p, before);
  const AdamRule rule;
  Adam adam(rule, n, DType::f32, arena);
  adam.set(0.01, 1);
  adam.step(p, g);
  const float rate = float(0.01 / (1 - std::pow(rule.beta1, 1.))),
              root = float(std::sqrt(1 - std::pow(rule.beta2, 1.)));
  for (int64_t i = 0; i < n; ++i) {
    const float d = g.data<float>()[i], m = float(1 - rule.beta1) * d, v = float(1 - rule.beta2) * d * d;
    const float bottom = std::sqrt(v) / root + float(rule.eps);
    const float want = before.data<float>()[i] - rate * m / bottom;
    ASSERT_EQ(p.data<float>()[i], want) << i;
  }
}

TEST(Rounding, ASigmoidOfFloatsComputesInFloat) {
  const Arena arena("test");
  const Tensor x = random_tensor(arena, 1000, 3, 6);
  Tape tape(arena, {.grad = false});
  const Tensor y = sigmoid(tape.constant(x)).value();
  for (int64_t i = 0; i < x.numel(); ++i) {
    const float power = std::exp(-x.data<float>()[i]), sum = 1 + power;
    ASSERT_EQ(y.data<float>()[i], 1 / sum) << i;
  }
}

// 0.003908 is a little more than half of the step behind 1; as a bf16 it is half of it, which rounds down.
TEST(Rounding, AnAccumulatedGradientIsRoundedOnce) {
  bf16 to = 1.f;
  store(to, 0.003908f, true);
  EXPECT_EQ(float(to), 1.0078125f);
  float sum = 1;
  store(sum, 0.25f, true);
  EXPECT_EQ(sum, 1.25f);
}

TEST(Rounding, DropoutsGradientIsRoundedOnce) {
  const Arena arena("test");
  const int64_t n = 4096;
  const auto as_bf16 = [&](uint64_t seed) {
    const Tensor from = random_tensor(arena, n, seed, 1), to = arena.empty({n}, DType::bf16);
    std::copy_n(from.data<float>(), n, to.data<bf16>());
    return to;
  };
  const Dropout op(DropoutSite{0.1, 7});
  const Tensor x = as_bf16(1), dy = as_bf16(2), dx = as_bf16(3), before = as_bf16(3),
               y = arena.empty({n}, DType::bf16), rng = arena.zeros({2}, DType::i64), none;
  const AuxSpec spec = op.aux({x.shape(), rng.shape()}, DType::bf16).at(0);
  const std::vector<Tensor> inputs{x, rng}, aux{arena.empty(spec.shape, spec.dtype)};
  op.forward({inputs, y, aux, none});
  const std::vector<GradOut> out{{dx, true}, {}};
  op.backward({inputs, y, aux, dy, out, none});
  const float scale = float(DropoutSite{0.1, 7}.scale());
  for (int64_t i = 0; i < n; ++i) {
    const bool kept = DropoutMask::kept(aux[0].data<int64_t>(), i);
    const float added = kept ? float(dy.data<bf16>()[i]) * scale : 0;
    const bf16 want = float(before.data<bf16>()[i]) + added;
    ASSERT_EQ(dx.data<bf16>()[i].bits, want.bits) << i;
  }
}

}  // namespace
