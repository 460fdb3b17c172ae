// Layers under PyTorch's names, and the UNets that are made of them.
#include "layers/parts.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "autograd/ops/conv_transpose2d.h"
#include "autograd/ops/instance_norm.h"
#include "layers/unet.h"
#include "tensor/device.h"
#include "tensor/random.h"

using namespace patchcl;

namespace {

Tensor random(const Arena& arena, const Shape& shape, uint64_t seed) {
  const Tensor t = arena.empty(shape, DType::f64);
  Rng rng(seed);
  for (int64_t i = 0; i < t.numel(); ++i) t.data<double>()[i] = rng.normal();
  return t;
}

Tensor tensor(const Arena& arena, const Shape& shape, const std::vector<double>& values) {
  const Tensor t = arena.empty(shape, DType::f64);
  std::copy(values.begin(), values.end(), t.data<double>());
  return t;
}

double dot(const Tensor& a, const Tensor& b) {
  double sum = 0;
  for (int64_t i = 0; i < a.numel(); ++i) sum += a.data<double>()[i] * b.data<double>()[i];
  return sum;
}

// "NAME SHAPE fan FAN_IN" of each parameter, then "NAME SHAPE" of each buffer.
std::vector<std::string> lines(const ParamLayout& layout) {
  std::vector<std::string> all;
  for (const ParamInfo& p : layout.parameters())
    all.push_back(p.name + " " + p.shape.str() + " fan " + std::to_string(p.fan_in));
  for (const ParamInfo& p : layout.buffers()) all.push_back(p.name + " " + p.shape.str());
  return all;
}

bool has(const ParamLayout& layout, const std::string& name) {
  for (const ParamInfo& p : layout.parameters())
    if (p.name == name) return true;
  return false;
}

}  // namespace

TEST(Parts, DeclareWhatPyTorchsLayersHave) {
  using Lines = std::vector<std::string>;
  ParamLayout layout;
  const ConvLayer conv(layout, "conv", 3, 2, 4);
  const ConvTransposeLayer up(layout, "up", 6, 5);
  const LinearLayer linear(layout, "linear", 7, 3);
  const NormLayer batch(layout, "batch", 4), affine(layout, "affine", 4, NormKind::instance_affine),
      instance(layout, "instance", 4, NormKind::instance), none(layout, "none", 4, NormKind::none);
  EXPECT_EQ(lines(layout),
      (Lines{"conv.weight (3,3,2,4) fan 18", "conv.bias (4) fan 18", "up.weight (2,2,6,5) fan 20",
          "up.bias (5) fan 20", "linear.weight (7,3) fan 7", "linear.bias (3) fan 7",
          "batch.weight (4) fan 0", "batch.bias (4) fan 0", "affine.weight (4) fan 0",
          "affine.bias (4) fan 0", "batch.running_mean (4)", "batch.running_var (4)"}));
  EXPECT_EQ(layout.parameter_count(), 72 + 4 + 120 + 5 + 21 + 3 + 8 + 8);
  EXPECT_THROW(ConvLayer(layout, "conv", 1, 2, 4), Error) << "a name declared twice";

  const Arena arena("test");
  ParamStore store(layout, arena, DType::f64, false);
  store.init(1);
  const auto value = [&](int i) { return store.value(i).item(); };
  EXPECT_LE(std::abs(value(2)), 1 / std::sqrt(20.));
  EXPECT_EQ(value(6), 1) << "gamma";
  EXPECT_EQ(value(9), 0) << "beta";
}

TEST(Parts, InstanceNormByHand) {
  const Arena arena("test");
  Tape tape(arena, {.grad = false});
  // Two images of one channel, the second ten times the first and shifted: the same to eps.
  const Var x = tape.constant(tensor(arena, {2, 2, 2, 1}, {1, 2, 3, 4, 110, 120, 130, 140}));
  const Var plain = instance_norm(x);
  const Var scaled =
      instance_norm(x, tape.constant(tensor(arena, {1}, {2})), tape.constant(tensor(arena, {1}, {-1})));
  for (int64_t i = 0; i < 8; ++i) {
    const double want =
        (double(i % 4) - 1.5) / std::sqrt((i < 4 ? 1.25 : 1.25 * 100) + 1e-5) * (i < 4 ? 1 : 10);
    EXPECT_NEAR(plain.value().item(i), want, 1e-12);
    EXPECT_NEAR(scaled.value().item(i), 2 * want - 1, 1e-12);
  }
}

TEST(Parts, NewOpsRefuseWhatCannotBe) {
  const Arena arena("test");
  Tape tape(arena);
  const auto of = [&](const Shape& s) { return tape.constant(arena.zeros(s, DType::f64)); };
  EXPECT_THROW(instance_norm(of({2, 1, 1, 3})), Error) << "one pixel has no variance";
  EXPECT_THROW(instance_norm(of({2, 3})), Error);
  EXPECT_THROW(instance_norm(of({1, 2, 2, 3}), of({2}), of({3})), Error);
  EXPECT_THROW(conv_transpose2d(of({1, 2, 2, 3}), of({3, 3, 3, 2}), of({2})), Error) << "a 3x3 kernel";
  EXPECT_THROW(conv_transpose2d(of({1, 2, 2, 3}), of({2, 2, 4, 2}), of({2})), Error);
  EXPECT_THROW(conv_transpose2d(of({1, 2, 2, 3}), of({2, 2, 3, 2}), of({3})), Error);
}

// <conv_transpose(x, w), z> = <x, conv(z, w^T, stride 2)>: what the word means.
TEST(Parts, ConvTransposeIsTheAdjointOfAConvolutionWithStride2) {
  const Arena arena("test");
  Tape tape(arena, {.grad = false});
  const int64_t cin = 3, cout = 5;
  const Tensor x = random(arena, {2, 3, 4, cin}, 1), w = random(arena, {2, 2, cin, cout}, 2),
               z = random(arena, {2, 6, 8, cout}, 3), transposed = arena.empty({2, 2, cout, cin}, DType::f64);
  for (int64_t e = 0; e < w.numel(); ++e) {
    const int64_t o = e % cout, c = e / cout % cin, tap = e / cout / cin;
    transposed.data<double>()[(tap * cout + o) * cin + c] = w.data<double>()[e];
  }
  const Var y =
      conv_transpose2d(tape.constant(x), tape.constant(w), tape.constant(arena.zeros({cout}, DType::f64)));
  const Var back = conv2d({tape.constant(z)}, tape.constant(transposed), {}, {.stride = 2});
  EXPECT_NEAR(dot(y.value(), z), dot(x, back.value()), 1e-12 * std::abs(dot(y.value(), z)) + 1e-12);
}

namespace {

class UNets : public testing::TestWithParam<UNetConfig> {
 protected:
  UNetConfig config() const {
    UNetConfig c = GetParam();
    c.in_channels = 2;
    c.classes = 3;
    c.widths = {4, 6, 8};
    c.dropout = {0, 0, 0};
    return c;
  }
  const Arena arena_{"test"};
};

}  // namespace

TEST_P(UNets, HaveMapsOfEveryLevel) {
  ParamLayout layout;
  const UNet unet(layout, config());
  ParamStore store(layout, arena_, DType::f64, false);
  store.init(1);
  Tape tape(arena_, {.grad = false});
  Pass pass(tape, store, /*training=*/false);
  const UNet::Output out = unet.forward(pass, tape.constant(random(arena_, {2, 8, 12, 2}, 4)));
  EXPECT_EQ(out.logits.shape().str(), "(2,8,12,3)");
  ASSERT_EQ(out.encoder.size(), 3u);
  EXPECT_EQ(out.encoder[1].shape().str(), "(2,4,6,6)");
  EXPECT_EQ(out.bottleneck.id(), out.encoder[2].id());
  ASSERT_EQ(out.decoder.size(), 2u);
  EXPECT_EQ(out.decoder[0].shape().str(), "(2,4,6,6)");
  EXPECT_EQ(out.decoder[1].shape().str(), "(2,8,12,4)");
}

TEST_P(UNets, KeepAllMapsInBf16WhereThatIsAskedFor) {
  ParamLayout layout;
  const UNet unet(layout, config());
  ParamStore store(layout, arena_, DType::f32, false);
  store.init(1);
  Tape tape(arena_, {.grad = false});
  Pass pass(tape, store, /*training=*/false);
  const Var x = tape.constant(arena_.zeros({2, 8, 12, 2}, DType::f32));
  set_math_mode(MathMode::bf16);
  const UNet::Output out = unet.forward(pass, x);
  set_math_mode(MathMode::f32);
  EXPECT_EQ(out.logits.dtype(), DType::f32);
  for (const auto& maps : {out.encoder, out.decoder})
    for (const Var& map : maps) EXPECT_EQ(map.dtype(), DType::bf16) << map.shape();
}

TEST_P(UNets, DeclareWhatTheyAreMadeOf) {
  const UNetConfig c = config();
  ParamLayout layout;
  const UNet unet(layout, c);
  const bool transposed = c.up == Upsampling::transposed;
  EXPECT_EQ(has(layout, "decoder.up1.up.weight"), transposed);
  EXPECT_EQ(has(layout, "decoder.up1.conv1x1.weight"), !transposed);
  const bool affine = c.norm == NormKind::batch || c.norm == NormKind::instance_affine;
  EXPECT_EQ(has(layout, "encoder.in_conv.conv_conv.1.weight"), affine);
  EXPECT_EQ(has(layout, "decoder.up1.conv.conv_conv.5.bias"), affine && c.decoder_norm);
  const size_t norms = c.decoder_norm ? 10 : 6;
  const size_t in_decoder = c.gates == Gates::none ? 0 : 2, in_encoder = c.gates == Gates::all ? 3 : 0;
  EXPECT_EQ(has(layout, "decoder.up2.conv.uafs.3.bias"), in_decoder > 0);
  EXPECT_EQ(has(layout, "encoder.in_conv.uafs.1.weight"), in_encoder > 0);
  const size_t of_gates = 2 * (in_decoder + in_encoder);
  EXPECT_EQ(layout.buffers().size(), of_gates + (c.norm == NormKind::batch ? 2 * norms : 0));
}

// The derivative of a random projection of the logits along a random direction of all parameters.
TEST_P(UNets, DifferentiateAsCentralDifferencesSay) {
  ParamLayout layout;
  const UNet unet(layout, config());
  ParamStore store(layout, arena_, DType::f64, true);
  store.init(2);
  const Tensor x = random(arena_, {2, 8, 8, 2}, 5), v = random(arena_, {2, 8, 8, 3}, 6),
               direction = random(arena_, store.values().shape(), 7),
               start = arena_.empty(store.values().shape(), DType::f64);
  copy(store.values(), start);
  const auto projection = [&](double step, bool differentiate) {
    for (int64_t i = 0; i < start.numel(); ++i)
      store.values().data<double>()[i] = start.data<double>()[i] + step * direction.data<double>()[i];
    Tape tape(arena_, {.grad = differentiate});
    Pass pass(tape, store, /*training=*/true);
    const Var logits = unet.forward(pass, tape.constant(x)).logits;
    const double result = dot(logits.value(), v);
    if (differentiate) tape.backward(logits, v);
    return result;
  };
  store.zero_grad();
  projection(0, true);
  double analytic = 0;  // slice by slice: the gaps between parameters have no gradient
  for (const ParamInfo& p : layout.parameters())
    analytic += dot(store.grads().window(p.offset, p.shape), direction.window(p.offset, p.shape));
  const double h = 1e-7, numeric = (projection(h, false) - projection(-h, false)) / (2 * h);
  EXPECT_GT(std::abs(analytic), 1e-3);
  EXPECT_NEAR(analytic, numeric, 1e-5 * std::abs(analytic));
}

TEST_P(UNets, OnlyBatchNormTellsTrainingFromInference) {
  ParamLayout layout;
  const UNet unet(layout, config());
  ParamStore store(layout, arena_, DType::f64, false);
  store.init(3);
  Tape tape(arena_, {.grad = false});
  const Var x = tape.constant(random(arena_, {2, 8, 8, 2}, 8));
  Pass training(tape, store, true), inference(tape, store, false);
  const Tensor a = unet.forward(training, x).logits.value(), b = unet.forward(inference, x).logits.value();
  double apart = 0;
  for (int64_t i = 0; i < a.numel(); ++i) apart = std::max(apart, std::abs(a.item(i) - b.item(i)));
  if (GetParam().norm == NormKind::batch || GetParam().gates != Gates::none) EXPECT_GT(apart, 1e-3);
  else EXPECT_EQ(apart, 0);
}

INSTANTIATE_TEST_SUITE_P(Variants, UNets,
    testing::Values(UNetConfig{}, UNetConfig{.fused = false}, UNetConfig{.up = Upsampling::transposed},
        UNetConfig{.norm = NormKind::instance, .decoder_norm = false, .up = Upsampling::transposed},
        UNetConfig{.norm = NormKind::instance_affine}, UNetConfig{.decoder_norm = false},
        UNetConfig{.gates = Gates::all},
        UNetConfig{
            .norm = NormKind::instance, .gates = Gates::decoder, .gate_classes = 1, .gate_kernel = 1}));

// METHODS 2.4: encoder with instance norm, decoder without norm, transposed convolutions. The count by hand:
// 3x3 convolutions, 2x2 transposed ones and the head, each with its bias, and nothing else.
TEST(UNets, TheWideOneHasTheParametersThatItShould) {
  ParamLayout layout;
  const UNet unet(layout, {.widths = {64, 128, 256, 512, 1024},
                              .norm = NormKind::instance,
                              .decoder_norm = false,
                              .up = Upsampling::transposed});
  EXPECT_EQ(layout.parameter_count(), 31032836);
  EXPECT_EQ(layout.parameters().size(), 2 * (10 + 4 + 8 + 1u));
  EXPECT_TRUE(layout.buffers().empty());
}
