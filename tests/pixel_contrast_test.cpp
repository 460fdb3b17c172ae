// Supervised contrast of pixels: its bound on memory, and what it is in cases that have another name.
#include "losses/pixel_contrast.h"

#include <gtest/gtest.h>

#include "autograd/ops/gather.h"
#include "autograd/ops/l2_normalize.h"
#include "autograd/ops/shape.h"
#include "losses/info_nce.h"
#include "tensor/parallel.h"
#include "tensor/random.h"
#include "tests/golden.h"
#include "train/methods/local_contrast.h"

using namespace patchcl;

namespace {

Tensor random_vectors(const Arena& arena, const Shape& shape) {
  const Tensor x = arena.empty(shape, DType::f32);
  Rng rng(3);
  for (int64_t i = 0; i < x.numel(); ++i) x.data<float>()[i] = float(rng.normal());
  return x;
}

Tensor integers(const Arena& arena, const Shape& shape, int64_t (*value)(int64_t)) {
  const Tensor x = arena.empty(shape, DType::i32);
  for (int64_t i = 0; i < x.numel(); ++i) x.data<int32_t>()[i] = int32_t(value(i));
  return x;
}

struct Result {
  double loss;
  std::vector<float> gradient;
};

// `make_loss` of the vectors x, brought to length 1.
template <class F> Result evaluate(const Arena& arena, const Tensor& x, F make_loss) {
  const Tensor gradient = arena.zeros(x.shape(), DType::f32);
  Tape tape(arena);
  const Var loss = make_loss(l2_normalize(tape.parameter(x, gradient, "x")));
  tape.backward(loss);
  return {loss.value().item(), {gradient.data<float>(), gradient.data<float>() + gradient.numel()}};
}

}  // namespace

TEST(PixelContrast, NeedsLessThan64MiBFor12800Vectors) {
  const PixelContrast op({});
  const Shapes x{{1, 12800, 128}, {1, 12800}};
  size_t bytes = op.workspace(x, DType::f32, Device::cpu);
  for (const AuxSpec& aux : op.aux(x, DType::f32)) bytes += size_t(aux.shape.numel()) * dtype_size(aux.dtype);
  EXPECT_LT(bytes, size_t(8 << 20) + size_t(threads()) * (1 << 19));
  EXPECT_LT(bytes, size_t(64 << 20));
}

// Each vector's one positive is its other view: the loss of the global stage.
TEST(PixelContrast, WithAPartnerEachIsNtXent) {
  constexpr int64_t kPairs = 40;
  const Arena arena("test");
  const Tensor x = random_vectors(arena, {2 * kPairs, 16});
  const Tensor label = integers(arena, {1, 2 * kPairs}, [](int64_t i) { return 1 + i % kPairs; });
  const Tensor pair = integers(arena, {2 * kPairs}, [](int64_t i) { return i % kPairs; });
  const Tensor sibling = integers(arena, {2 * kPairs}, [](int64_t i) { return (i + kPairs) % (2 * kPairs); });
  const Result local = evaluate(arena, x, [&](const Var& f) {
    return pixel_contrast(reshape(f, {1, 2 * kPairs, 16}), f.tape().constant(label), {.tau = 0.5});
  });
  const Result global = evaluate(arena, x, [&](const Var& f) {
    const Var key = gather_rows(f, f.tape().constant(sibling)), classes = f.tape().constant(pair);
    return info_nce(f, key, f, classes, classes, 0.5);
  });
  EXPECT_NEAR(local.loss, global.loss, 1e-5);
  for (size_t i = 0; i < local.gradient.size(); ++i)
    EXPECT_NEAR(local.gradient[i], global.gradient[i], 1e-6) << i;
}

TEST(PixelContrast, EqualGroupsGiveTheLossOfOne) {
  const Arena arena("test");
  const Tensor one = random_vectors(arena, {70, 8}), three = arena.empty({210, 8}, DType::f32);
  for (int64_t g = 0; g < 3; ++g) copy(one, three.rows(g * 70, 70));
  const auto loss = [&](const Tensor& x, int64_t groups) {
    const Tensor label = integers(arena, {groups, 70}, [](int64_t i) { return i % 70 % 3; });
    return evaluate(arena, x, [&](const Var& f) {
      return pixel_contrast(
          reshape(f, {groups, 70, 8}), f.tape().constant(label), {.form = ContrastForm::paper});
    }).loss;
  };
  EXPECT_NEAR(loss(one, 1), loss(three, 3), 1e-6);
}

// tests/golden/make_contrast.py: by the full matrix of similarities and autograd.
TEST(GoldenPixelContrast, LossAndGradientOfEveryFormAreThoseOfPyTorch) {
  const Arena arena("test");
  const TensorFile wanted = load_tensors("tests/golden/contrast.safetensors", arena);
  const Shape s{2, 9, 4};
  std::vector<double> values = golden::unit("pixels", s.numel());
  for (double& v : values) v = 2 * v - 1;
  const std::vector<double> classes = golden::unit("label", 18);
  const Tensor label = arena.empty({2, 9}, DType::i32);
  for (int i = 0; i < 18; ++i) label.data<int32_t>()[i] = int32_t(3 * classes[size_t(i)]);
  for (const auto& [form_name, form] :
      {std::pair{"released", ContrastForm::released}, {"paper", ContrastForm::paper}})
    for (const auto& [name, denominator] :
        {std::pair{"all", ContrastDenominator::all}, {"negatives", ContrastDenominator::negatives}}) {
      const std::string what = std::string("pixels.") + form_name + "." + name;
      const Tensor gradient = arena.zeros(s, DType::f64);
      Tape tape(arena);
      const Var f = l2_normalize(tape.parameter(golden::tensor(arena, s, DType::f64, values), gradient, "f"));
      const Var loss = pixel_contrast(f, tape.constant(label), {form, denominator, 0.5});
      tape.backward(loss);
      golden::expect_close(what, loss.value(), wanted.tensors.at(what + ".loss"), 1e-11);
      golden::expect_close(what, gradient, wanted.tensors.at(what + ".grad"), 1e-11);
    }
}

// --- Which pixels are compared, on maps of 4x4 ---

namespace {
PixelPlan plan(PixelSelection selection, CandidateScope scope) {
  return {.selection = selection, .stride = 2, .block = 2, .scope = scope};
}
}  // namespace

TEST(PixelPlan, EverySecondPixelOfTheBatch) {
  const PixelPlan::Groups g = plan(PixelSelection::stride, CandidateScope::batch).groups(1, 4, 4);
  EXPECT_EQ(g.count, 1);
  EXPECT_EQ(g.index, (std::vector<int32_t>{0, 2, 8, 10, 16, 18, 24, 26}));
}

TEST(PixelPlan, EverySecondPixelOfAnImageAndItsOtherView) {
  const PixelPlan::Groups g = plan(PixelSelection::stride, CandidateScope::image).groups(2, 4, 4);
  EXPECT_EQ(g.count, 2);
  EXPECT_EQ(g.index, (std::vector<int32_t>{0, 2, 8, 10, 32, 34, 40, 42, 16, 18, 24, 26, 48, 50, 56, 58}));
}

TEST(PixelPlan, BlocksOfTheBatch) {
  const PixelPlan::Groups g = plan(PixelSelection::block, CandidateScope::batch).groups(1, 4, 4);
  EXPECT_EQ(g.count, 4);
  EXPECT_EQ(g.index, (std::vector<int32_t>{0, 1, 4, 5, 16, 17, 20, 21, 2, 3, 6, 7, 18, 19, 22, 23, 8, 9, 12,
                         13, 24, 25, 28, 29, 10, 11, 14, 15, 26, 27, 30, 31}));
}

TEST(PixelPlan, BlocksOfAnImageAndItsOtherView) {
  const PixelPlan::Groups g = plan(PixelSelection::block, CandidateScope::image).groups(2, 4, 4);
  EXPECT_EQ(g.count, 8);
  EXPECT_EQ(
      g.index, (std::vector<int32_t>{0, 1, 4, 5, 32, 33, 36, 37, 2, 3, 6, 7, 34, 35, 38, 39, 8, 9, 12, 13, 40,
                   41, 44, 45, 10, 11, 14, 15, 42, 43, 46, 47, 16, 17, 20, 21, 48, 49, 52, 53, 18, 19, 22, 23,
                   50, 51, 54, 55, 24, 25, 28, 29, 56, 57, 60, 61, 26, 27, 30, 31, 58, 59, 62, 63}));
}
