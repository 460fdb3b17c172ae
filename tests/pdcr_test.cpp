// PDCR and UAFS (METHODS 3): the loss and the block against PyTorch, receptive fields against changed pixels,
// ratios against plain counts, what the methods read.
#include "train/methods/pdcr.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "autograd/ops/arith.h"
#include "autograd/ops/l2_normalize.h"
#include "layers/receptive_field.h"
#include "tensor/parallel.h"
#include "tests/golden.h"
#include "tests/small_learner.h"

using namespace patchcl;

namespace {

const TensorFile& wanted() {
  static const TensorFile file = load_tensors("tests/golden/contrast.safetensors", Arena("golden"));
  return file;
}

// scale * (unit(name) - middle)
Tensor numbers(const Arena& arena, const Shape& shape, const std::string& name, double scale, double middle) {
  std::vector<double> v = golden::unit(name, shape.numel());
  for (double& u : v) u = scale * (u - middle);
  return golden::tensor(arena, shape, DType::f64, v);
}

struct Form {
  std::string name;
  AffinityContrastOptions options;
};
void PrintTo(const Form& f, std::ostream* s) { *s << f.name; }

class GoldenPdcr : public testing::TestWithParam<Form> {};

}  // namespace

TEST_P(GoldenPdcr, LossAndGradientAreThoseOfThePublishedFormula) {
  const Arena arena("test");
  const Shape s{2, 7, 5};
  const Tensor gradient = arena.zeros(s, DType::f64), valid = arena.empty({2, 7}, DType::f64);
  fill(valid, 1);
  Tape tape(arena);
  const Var f = l2_normalize(tape.parameter(numbers(arena, s, "f", 2, 0.5), gradient, "f"));
  const AffinityFeatures all{
      f, tape.constant(numbers(arena, {2, 7, 3}, "phi", 1. / 3, 0)), tape.constant(valid)};
  const Var loss = affinity_contrast(all, all, GetParam().options);
  tape.backward(loss);
  golden::expect_close("loss", loss.value(), wanted().tensors.at(GetParam().name + ".loss"), 1e-11);
  golden::expect_close("df", gradient, wanted().tensors.at(GetParam().name + ".grad"), 1e-11);
}

INSTANTIATE_TEST_SUITE_P(PyTorch, GoldenPdcr,
    testing::Values(Form{"contrastive", {}}, Form{"variation", {.affinity = Affinity::variation}},
        Form{"dice", {.affinity = Affinity::dice}}, Form{"l1", {.form = AffinityForm::l1}},
        Form{"l2", {.form = AffinityForm::l2}}, Form{"reversed", {.reversed = true}}),
    [](const auto& info) { return info.param.name; });

TEST(Uafs, BlockAndItsGradientsAreThoseOfPyTorch) {
  const Arena arena("test");
  ParamLayout layout;
  const UncertaintyGate gate(layout, "uafs", 12, 3, 2);
  ParamStore store(layout, arena, DType::f64, true);
  store.init(1);
  TensorFile weights;
  put_weights(weights, store, 0);
  for (const ParamInfo& p : layout.parameters()) {
    const Shape shape = golden::torch_shape(p);
    std::vector<double> v = golden::unit(p.name, shape.numel());
    for (double& u : v) u = float((shape.rank() > 1 ? 0.5 : 1) * (u - 0.4));
    weights.tensors[p.name] = golden::tensor(arena, shape, DType::f64, v);
  }
  get_weights(weights, store, "formula");
  store.zero_grad();
  const Shape s{2, 6, 6, 12};
  const Tensor dx = arena.zeros(s, DType::f64);
  Tape tape(arena);
  Pass pass(tape, store, /*training=*/true);
  const Var y = gate(pass, tape.parameter(numbers(arena, s, "x", 2, 0.5), dx, "x"));
  golden::expect_close("y", y.value(), wanted().tensors.at("uafs.y"), 1e-12);
  tape.backward(y, numbers(arena, s, "v", 1, 0));
  golden::expect_close("dx", dx, wanted().tensors.at("uafs.dx"), 1e-11);
  for (const auto& [name, g] : golden::torch_gradients(store, arena)) {
    if (name == "uafs.0.bias") continue;  // the norm behind it takes every constant away
    golden::expect_close(name, g, wanted().tensors.at("uafs.grad." + name.substr(5)), 1e-10);
  }
}

// --- Identities, METHODS 5 ---

namespace {
double loss_of(const Arena& arena, const Tensor& f, double phi, const AffinityContrastOptions& options) {
  const Shape s = f.shape();
  const Tensor shown = arena.empty({s[0], s[1], 1}, f.dtype()), valid = arena.empty({s[0], s[1]}, f.dtype());
  fill(shown, phi);
  fill(valid, 1);
  Tape tape(arena, {.grad = false});
  const AffinityFeatures all{l2_normalize(tape.constant(f)), tape.constant(shown), tape.constant(valid)};
  return affinity_contrast(all, all, options).value().item();
}
}  // namespace

TEST(AffinityContrast, OfEqualPatchesPullsOnly) {
  const Arena arena("test");
  const Tensor f = numbers(arena, {1, 6, 4}, "f", 2, 0.5);
  double mean = 0;
  for (int p = 0; p < 6; ++p)
    for (int q = 0; q < 6; ++q) {
      double product = 0, of_p = 0, of_q = 0;
      for (int d = 0; d < 4; ++d) {
        const double a = f.item(4 * p + d), b = f.item(4 * q + d);
        product += a * b;
        of_p += a * a;
        of_q += b * b;
      }
      mean += (1 - product / std::sqrt(of_p * of_q)) / 36;
    }
  EXPECT_NEAR(loss_of(arena, f, 0.3, {.tau = 0.25}), mean / 0.25 + std::log(6.), 1e-12);
}

TEST(AffinityContrast, OfOneVectorIsZero) {
  const Arena arena("test");
  EXPECT_NEAR(loss_of(arena, numbers(arena, {3, 1, 4}, "f", 2, 0.5), 0.7, {}), 0, 1e-11);
}

TEST(AffinityContrast, KeepsNoMatrixOfAllPairs) {
  const AffinityContrast op({});
  const Shapes x{{1, 12800, 128}, {1, 12800, 128}, {1, 12800, 3}, {1, 12800, 3}, {1, 12800}, {1, 12800}};
  const int before = threads();
  set_threads(2);  // each has room for a tile
  size_t bytes = op.workspace(x, DType::f32, Device::cpu);
  set_threads(before);
  for (const AuxSpec& aux : op.aux(x, DType::f32)) bytes += size_t(aux.shape.numel()) * dtype_size(aux.dtype);
  EXPECT_LT(bytes, size_t(1 << 20));
}

// --- Receptive fields ---

TEST(ReceptiveFields, OfSsl4misUNetAreThoseOfTheMethods) {
  const std::vector<ReceptiveField> want{{5, 1}, {14, 2}, {32, 4}, {68, 8}, {140, 16}};
  EXPECT_EQ(encoder_fields(UNetConfig{}), want);
}

namespace {

// How many vectors of a map a change of pixel (y,x) reaches that do not look at it by `field`, and how many
// look at it and are not reached.
struct Reach {
  int64_t beyond = 0, missed = 0;
  void add(const Tensor& before, const Tensor& after, const ReceptiveField& field, int64_t y, int64_t x) {
    const Shape& s = before.shape();
    const auto looks = [&](int64_t i, int64_t p) {
      return p >= field.begin(i) && p < field.begin(i) + field.side;
    };
    for (int64_t v = 0; v < s.rows(); ++v) {
      bool changed = false;
      for (int64_t c = 0; c < s[3]; ++c) changed |= before.item(v * s[3] + c) != after.item(v * s[3] + c);
      const bool seen = looks(v / s[2], y) && looks(v % s[2], x);
      beyond += changed && !seen;
      missed += seen && !changed;
    }
  }
};
ReceptiveField narrower(const ReceptiveField& f) { return {f.side - 2, f.jump}; }

class Fields : public testing::TestWithParam<UNetConfig> {};

}  // namespace

// With averages in place of maxima and no kinks every pixel of a field counts, so small images and a smooth
// network: weights that are all positive, on an image that is all positive.
TEST_P(Fields, HoldEveryPixelThatAVectorDependsOnAndNoOther) {
  const Arena arena("test");
  UNetConfig c = GetParam();
  ParamLayout layout;
  const UNet unet(layout, c);
  ParamStore store(layout, arena, DType::f64, false);
  store.init(4);
  double* v = store.values().data<double>();
  for (int64_t i = 0; i < store.values().numel(); ++i) v[i] = std::abs(v[i]) + 0.01;
  const Tensor x = numbers(arena, {1, 48, 48, 1}, "image", 1, -0.5);
  Tape tape(arena, {.grad = false});
  const auto maps = [&](const Tensor& image) {
    Pass pass(tape, store, /*training=*/false);
    return unet.forward(pass, tape.constant(image));
  };
  const UNet::Output before = maps(x);
  const std::vector<ReceptiveField> encoder = encoder_fields(c), decoder = decoder_fields(c);
  std::vector<Reach> of_encoder(encoder.size()), of_decoder(decoder.size()), of_narrower(decoder.size());
  for (int64_t row = 0; row < 48; ++row) {
    const int64_t column = (5 * row + 24) % 48;
    const Tensor changed = arena.empty(x.shape(), DType::f64);
    copy(x, changed);
    changed.data<double>()[row * 48 + column] = 9;
    const UNet::Output after = maps(changed);
    for (size_t level = 0; level < encoder.size(); ++level)
      of_encoder[level].add(
          before.encoder[level].value(), after.encoder[level].value(), encoder[level], row, column);
    for (size_t level = 0; level < decoder.size(); ++level) {
      const size_t at = decoder.size() - 1 - level;
      const Tensor was = before.decoder[at].value(), is = after.decoder[at].value();
      of_decoder[level].add(was, is, decoder[level], row, column);
      of_narrower[level].add(was, is, narrower(decoder[level]), row, column);
    }
  }
  for (const Reach& r : of_encoder) EXPECT_EQ(r.beyond, 0);
  EXPECT_EQ(of_encoder[0].missed, 0);
  for (const Reach& r : of_decoder) EXPECT_EQ(r.beyond, 0);
  if (c.gates != Gates::none) return;  // with these weights they are too sure to notice a pixel at the edge
  for (const Reach& r : of_narrower) EXPECT_GT(r.beyond, 0) << "the field is larger than it must be";
}

INSTANTIATE_TEST_SUITE_P(Networks, Fields,
    testing::Values(UNetConfig{.widths = {2, 3, 4}, .dropout = {0, 0, 0}},
        UNetConfig{.widths = {2, 3, 4}, .dropout = {0, 0, 0}, .up = Upsampling::transposed},
        UNetConfig{.widths = {2, 3, 4}, .dropout = {0, 0, 0}, .gates = Gates::all},
        UNetConfig{.widths = {2, 3, 4}, .dropout = {0, 0, 0}, .gates = Gates::decoder, .gate_kernel = 5}));

// --- What patches show ---

TEST(PatchRatios, AreThePlainCountsWithinTheImage) {
  constexpr int64_t kHeight = 9, kWidth = 13, kClasses = 3;
  std::vector<uint8_t> label;
  std::vector<float> sure;
  for (const double u : golden::unit("label", kHeight * kWidth)) label.push_back(uint8_t(kClasses * u));
  for (const double u : golden::unit("sure", kHeight * kWidth)) sure.push_back(float(u));
  const LabelView view(label.data(), sure.data(), kHeight, kWidth, kClasses);
  for (const ReceptiveField field : {ReceptiveField{5, 1}, ReceptiveField{14, 2}, ReceptiveField{32, 4}})
    for (int64_t y = 0; y * field.jump < kHeight; ++y)
      for (int64_t x = 0; x * field.jump < kWidth; ++x) {
        double count[kClasses] = {}, pixels = 0, confidence = 0;
        for (int64_t i = 0; i < kHeight * kWidth; ++i) {
          const int64_t row = i / kWidth - field.begin(y), column = i % kWidth - field.begin(x);
          if (row < 0 || column < 0 || row >= field.side || column >= field.side) continue;
          ++pixels;
          ++count[label[size_t(i)]];
          confidence += double(sure[size_t(i)]);
        }
        std::vector<float> ratio(kClasses - 1), shares(kClasses);
        view.describe(Affinity::ratio, field, field.side, y, x, 1, ratio.data());
        view.describe(Affinity::variation, field, field.side, y, x, 1, shares.data());
        for (int c = 0; c < kClasses; ++c) EXPECT_NEAR(shares[size_t(c)], count[c] / pixels, 1e-6);
        for (int c = 1; c < kClasses; ++c) EXPECT_NEAR(ratio[size_t(c) - 1], count[c] / pixels, 1e-6);
        EXPECT_NEAR(view.confidence(field, field.side, y, x), confidence / pixels, 1e-6);
      }
}

// Of two patches of nine pixels a side the masks' Dice is that of the patches.
TEST(PatchRatios, DiceOfMasksIsTheDiceOfPatches) {
  constexpr int64_t kSide = 9;
  std::vector<uint8_t> label(kSide * 2 * kSide);
  int common = 0, both = 0;
  for (int64_t y = 0; y < kSide; ++y)
    for (int64_t x = 0; x < kSide; ++x) {
      const bool a = x + y<9, b = x> 3;
      label[size_t(y * 2 * kSide + x)] = a;
      label[size_t(y * 2 * kSide + kSide + x)] = b;
      common += a && b;
      both += a + b;
    }
  const LabelView view(label.data(), nullptr, kSide, 2 * kSide, 2);
  const ReceptiveField field{kSide, 1};
  std::vector<float> a(kMaskPoints * kMaskPoints), b(a.size());
  view.describe(Affinity::dice, field, kSide, 4, 4, 1, a.data());
  view.describe(Affinity::dice, field, kSide, 4, 13, 1, b.data());
  const AffinityContrastOptions dice{.affinity = Affinity::dice};
  EXPECT_NEAR(1 - dice.divergence(a.data(), b.data(), int64_t(a.size())), 2. * common / both, 1e-12);
}

TEST(PatchGrids, CoverAMapWithAtMostSoManyVectors) {
  for (const int64_t side : {1, 7, 16, 64, 255})
    for (const int64_t vectors : {2, 64, 256}) {
      const PatchGrid grid(side, side + 3, vectors);
      EXPECT_LE(grid.size(), std::max<int64_t>(vectors, side + 3)) << side << " " << vectors;
      EXPECT_GE(grid.rows, 1);
      EXPECT_LT((grid.rows - 1) * grid.step, side);
      EXPECT_LT(grid.y(grid.size() - 1), side);
      EXPECT_LT(grid.x(grid.size() - 1), side + 3);
    }
}

TEST(Pdcr, OptionsWithoutEffectAreErrors) {
  const auto refused = [](const OptionValues& values) {
    try {
      make_method("mean-teacher", values)->resolve({.iterations = 10, .batch = 4, .size = 32});
    } catch (const Error& e) {
      return e.code() == ExitCode::usage;
    }
    return false;
  };
  EXPECT_TRUE(refused({{"pdcr-tau", "0.3"}}));
  EXPECT_TRUE(refused({{"pdcr", "0.1"}, {"pdcr-sides", "3,5"}}));
  EXPECT_TRUE(refused({{"pdcr", "0.1"}, {"pdcr-side-unit", "mask"}}));
  EXPECT_TRUE(refused({{"pdcr", "0.1"}, {"pdcr-decoder-levels", "1"}}));
  EXPECT_TRUE(refused({{"pdcr", "0.1"}, {"pdcr-form", "l2"}, {"pdcr-reversed", "true"}}));
  EXPECT_TRUE(refused({{"pdcr", "0.1"}, {"pdcr-confidence", "0.5"}}));
  EXPECT_TRUE(refused({{"pdcr", "0.1"}, {"copy-paste", "true"}}));
  EXPECT_FALSE(refused({{"pdcr", "0.1"}, {"pdcr-patch", "hierarchy"}, {"pdcr-sides", "3,5"}}));
  EXPECT_FALSE(refused({{"pdcr-cross", "0.1"}, {"pdcr-width", "16"}, {"pdcr-unlabeled", "true"}}));
}

// A pixel of level 1 is two of the mask.
TEST(Pdcr, SidesCountPixelsOfTheMapOrOfTheMask) {
  const Arena memory("test");
  const auto loss = [&](const std::string& sides, const std::string& unit) {
    Learner learner("supervised",
        {{"pdcr", "1"}, {"pdcr-levels", "1"}, {"pdcr-patch", "hierarchy"}, {"pdcr-sides", sides},
            {"pdcr-side-unit", unit}},
        test::small());
    return test::loss_of(learner, test::random_batch(learner, memory));
  };
  EXPECT_EQ(loss("3", "map"), loss("6", "mask"));
  EXPECT_NE(loss("3", "map"), loss("3", "mask"));
}

TEST(Pdcr, TheDecoderHasLevelsOfItsOwn) {
  const Arena memory("test");
  const auto loss = [&](const OptionValues& levels) {
    OptionValues all{{"pdcr-decoder", "1"}};
    all.insert(all.end(), levels.begin(), levels.end());
    Learner learner("supervised", all, test::small());
    return test::loss_of(learner, test::random_batch(learner, memory));
  };
  EXPECT_EQ(loss({{"pdcr-decoder-levels", "0"}}), loss({{"pdcr-decoder-levels", "0,1"}}));
  EXPECT_THROW(loss({{"pdcr-decoder-levels", "0"}, {"pdcr-levels", "1"}}), Error);  // of the encoder
  EXPECT_THROW(loss({{"pdcr-decoder-levels", "1"}}), Error);  // two levels: the decoder has one
}

TEST(Pdcr, PositionsAreSinesOfBothAxes) {
  float e[8];
  encode_position(3, 50, e);
  const double want[] = {std::sin(3.), std::cos(3.), std::sin(0.03), std::cos(0.03), std::sin(50.),
      std::cos(50.), std::sin(0.5), std::cos(0.5)};
  for (int c = 0; c < 8; ++c) EXPECT_NEAR(e[c], want[c], 1e-6) << c;
}
