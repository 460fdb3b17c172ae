// Inference with factors of 8 bits: autograd/ops/conv2d_int8.h, `patchcl calibrate`, `--math int8`.
#include "autograd/ops/conv2d_int8.h"

#include <cmath>
#include <limits>

#include "tensor/device.h"
#include "tensor/parallel.h"
#include "tensor/random.h"
#include "tests/segmentations.h"
#include "tests/small_data.h"
#include "tests/training_runs.h"

using namespace patchcl;
using namespace patchcl::test;

namespace {
const std::string kWeights = "weights/acdc-7-base.safetensors",
                  kHearts = "phantom:cases=4,val=2,size=128,slices=4";

Outcome calibrate(const std::string& weights, const std::string& to) {
  return run_patchcl("calibrate --data " + kHearts + " --images 8 --weights " + weights + " --out " + to);
}

// y of 16 channels in, 32 out, on 2 images of 19x`width`; `change` may change the weight.
std::vector<float> convolved(const std::function<void(float*)>& change = {}, int64_t width = 7) {
  const Arena arena("test");
  Rng rng(4);
  const auto draw = [&](const Shape& s) {
    const Tensor t = arena.empty(s, DType::f32);
    for (int64_t i = 0; i < t.numel(); ++i) t.data<float>()[i] = float(rng.uniform());
    return t;
  };
  Tape tape(arena, {.grad = false});
  const Tensor w = draw({3, 3, 16, 32}), range = arena.zeros({2}, DType::f32);
  range.data<float>()[1] = 1;
  if (change) change(w.data<float>());
  const auto constant = [&](const Tensor& t) { return tape.constant(t, "input"); };
  const BatchNormOptions norm{.training = false, .running_mean = draw({32}), .running_var = draw({32})};
  const Tensor y = conv2d_int8({constant(draw({2, 19, width, 16}))}, constant(w), constant(draw({32})),
      constant(draw({32})), constant(draw({32})), norm, 0.01, range)
                       .value();
  return {y.data<float>(), y.data<float>() + y.numel()};
}
}  // namespace

TEST(Int8, AnyNumberOfThreadsGivesTheSameBits) {
  const int before = threads();
  set_threads(1);
  const std::vector<float> one = convolved();
  set_threads(3);
  EXPECT_EQ(one, convolved());
  set_threads(before);
}

// Sums are whole numbers; what follows them is one multiply-add, which plain rounds twice.
TEST(Int8, EveryInstructionSetGivesTheSame) {
  const Isa best = isa();
  for (const int64_t width : {7, 16, 37, 70}) {
    const std::vector<float> want = convolved({}, width);
    for (const Isa i : kIsas) {
      if (i > best) break;
      set_isa(i);
      const std::vector<float> got = convolved({}, width);
      for (size_t e = 0; e < want.size(); ++e)
        ASSERT_NEAR(got[e], want[e], i == Isa::plain ? 1e-6 * (1 + std::fabs(want[e])) : 0)
            << isa_name(i) << ", width " << width << ", element " << e;
    }
    set_isa(best);
  }
}

TEST(Int8, AWeightThatIsNoNumberMakesItsChannelNone) {
  const std::vector<float> usual = convolved(), odd = convolved([](float*w) {
    w[5] = std::numeric_limits<float>::quiet_NaN();
    w[32 + 9] = std::numeric_limits<float>::infinity();
  });
  for (size_t i = 0; i < odd.size(); ++i) {
    const bool damaged = i % 32 == 5 || i % 32 == 9;
    if (damaged) ASSERT_TRUE(std::isnan(odd[i])) << i;
    else ASSERT_EQ(odd[i], usual[i]) << i;
  }
}

TEST(Int8, SegmentsAsF32DoesOnceCalibrated) {
  TemporaryFolder folder;
  const std::string with_ranges = folder / "int8.safetensors";
  const Outcome calibrated = calibrate(kWeights, with_ranges);
  ASSERT_EQ(calibrated.code, 0) << calibrated.output;
  EXPECT_TRUE(contains(calibrated.output, "ranges from 8 training images")) << calibrated.output;
  expect_segments_as_in_f32(with_ranges, kHearts, "int8");
}

TEST(Int8, CalibrationAddsARangeToEachConvolutionThatCanUseIt) {
  TemporaryFolder folder;
  const Arena memory("test");
  ASSERT_EQ(calibrate(kWeights, folder / "int8.safetensors").code, 0);
  const TensorFile before = load_tensors(kWeights, memory),
                   after = load_tensors(folder / "int8.safetensors", memory);
  int ranges = 0;
  for (const auto& [name, t] : after.tensors) {
    if (!name.ends_with(".range")) {
      const Tensor& same = before.tensors.at(name);
      EXPECT_EQ(std::memcmp(t.raw(), same.raw(), t.bytes()), 0) << name;
      continue;
    }
    ++ranges;
    EXPECT_LE(t.data<float>()[0], 0) << name;
    EXPECT_GT(t.data<float>()[1], 0) << name;
  }
  EXPECT_EQ(ranges, 17);  // of 18 blocks; the first sees one channel
  EXPECT_EQ(before.tensors.size() + 17, after.tensors.size());
}

TEST(Int8, SaysWhatItWants) {
  TemporaryFolder folder;
  const auto expect_refused = [](const Outcome& o, const std::string& why) {
    EXPECT_EQ(o.code, 2) << o.output;
    EXPECT_TRUE(contains(o.output, why)) << o.output;
  };
  expect_refused(run_patchcl("eval --math int8 --data " + kHearts + " --weights " + kWeights),
      "make a file that does: patchcl calibrate --weights " + kWeights);
  expect_refused(run_patchcl("train --data phantom --iters 1 --math int8"), "is none of f32, tf32, bf16");
  ASSERT_EQ(run_patchcl("train --data phantom:cases=3,val=1,size=32,slices=2 --size 32 --batch 2 --iters 1 "
                        "--widths 5,9 --dropout 0,0 --out " +
                        (folder / "run"))
                .code,
      0);
  expect_refused(calibrate(folder / "run/last.safetensors", folder / "no"), "widths in multiples of 16");
  ASSERT_EQ(calibrate(kWeights, folder / "int8.safetensors").code, 0);
  expect_refused(calibrate(folder / "int8.safetensors", folder / "twice"), "has ranges already");
}

TEST(Int8, ARangeThatIsNoneIsRefusedByName) {
  TemporaryFolder folder;
  const Arena memory("test");
  ASSERT_EQ(calibrate(kWeights, folder / "int8.safetensors").code, 0);
  const std::string name = "decoder.up4.conv.conv_conv.0.range";
  for (const auto& [lo, hi] : {std::pair(0.5f, 2.f), {-1.f, -0.5f}, {std::nanf(""), 1.f}, {-1.f, INFINITY}}) {
    TensorFile file = load_tensors(folder / "int8.safetensors", memory);
    float* range = file.tensors.at(name).data<float>();
    range[0] = lo;
    range[1] = hi;
    save_tensors(folder / "damaged.safetensors", file);
    const Outcome o =
        run_patchcl("eval --math int8 --data " + kHearts + " --weights " + (folder / "damaged.safetensors"));
    EXPECT_EQ(o.code, 6) << o.output;
    EXPECT_TRUE(contains(o.output, name) && contains(o.output, "patchcl calibrate")) << o.output;
  }
}
