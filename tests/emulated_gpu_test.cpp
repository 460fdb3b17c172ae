// What a user meets when the GPU fails, on the GPU of tests/emulated_gpu, which fails on demand: `make
// test-emulated-gpu`.
#include <gtest/gtest.h>

#include <csignal>
#include <cstdio>
#include <fstream>
#include <sstream>

#include "layers/unet.h"
#include "tensor/device.h"
#include "train/methods/patch_view.h"
#include "tensor/cuda.h"
#include "tests/command_line.h"

using namespace patchcl;
using namespace patchcl::test;

namespace {

class EmulatedGpu : public testing::Test {
 protected:
  void SetUp() override {
    if (!cuda::available(nullptr) || cuda::device_name() != "emulated on the CPU")
      GTEST_SKIP() << "this program has no emulated GPU: make test-emulated-gpu";
  }
};

std::string options(const std::string& more) {
  return "train --device cuda --data phantom:cases=4,val=1,size=32,slices=3 --labeled 2 --size 32 --batch 4 "
         "--widths 4,8 --dropout 0.1,0.2"
         " --val-every 5 --log-every 1 --seed 5 " +
         more;
}
std::string bytes_of(const std::string& path) {
  std::ostringstream s;
  s << std::ifstream(path, std::ios::binary).rdbuf();
  return s.str();
}

TEST_F(EmulatedGpu, AbsentIsSaidAndAutoTakesTheCpu) {
  TemporaryFolder folder;
  const Outcome o = run_patchcl(options("--iters 2 --out " + (folder / "a")), "EMULATED_GPU_ABSENT=1");
  EXPECT_EQ(o.code, 8) << o.output;
  EXPECT_NE(o.output.find("--device cuda was asked for, but the driver"), std::string::npos) << o.output;
  EXPECT_EQ(
      run_patchcl(options("--device auto --iters 2 --out " + (folder / "b")), "EMULATED_GPU_ABSENT=1").code,
      0);
}

TEST_F(EmulatedGpu, TooSmallSuggestsABatchThatFits) {
  TemporaryFolder folder;
  const std::string small = "EMULATED_GPU_MIB=200";
  const Outcome o = run_patchcl(
      options("--size 128 --widths 16,32,64,128,256 --dropout 0,0,0,0,0 --batch 24 --iters 1 --out " +
              (folder / "a")),
      small);
  EXPECT_EQ(o.code, 8) << o.output;
  const size_t at = o.output.find("try --batch ");
  ASSERT_NE(at, std::string::npos) << o.output;
  const int fits = std::stoi(o.output.substr(at + 12));
  EXPECT_GE(fits, 1);
  EXPECT_LT(fits, 24);
}

TEST_F(EmulatedGpu, LostInTheMiddleLeavesACheckpointThatGoesOnToTheSameBits) {
  TemporaryFolder folder;
  const std::string whole = folder / "whole", lost = folder / "lost";
  ASSERT_EQ(run_patchcl(options("--iters 12 --out " + whole)).code, 0);
  const Outcome o = run_patchcl(options("--iters 12 --out " + lost), "EMULATED_GPU_FAILS_AT=700");
  EXPECT_EQ(o.code, 8) << o.output;
  for (const char* part : {"cudaErrorLaunchFailure", ".cu", "the last checkpoint is intact"})
    EXPECT_NE(o.output.find(part), std::string::npos) << o.output;
  const Outcome resumed = run_patchcl("train --resume " + lost);
  ASSERT_EQ(resumed.code, 0) << resumed.output;
  EXPECT_EQ(bytes_of(whole + "/metrics.csv"), bytes_of(lost + "/metrics.csv"));
  EXPECT_EQ(bytes_of(whole + "/best.safetensors").size(), bytes_of(lost + "/best.safetensors").size());
}

TEST_F(EmulatedGpu, AKernelThatGoesPastItsMemoryDies) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto write = [](int64_t numbers) {
    setenv("EMULATED_GPU_GUARD", "1", 1);
    cuda::set(cuda::alloc(40), DType::f32, numbers, 1);
    cuda::synchronize();
    std::exit(0);
  };
  EXPECT_EXIT(write(10), testing::ExitedWithCode(0), "");
  EXPECT_EXIT(write(11), testing::KilledBySignal(SIGSEGV), "");
}

// What a step costs the host: the difference between a run and one of ten steps more.
struct HostCalls {
  double launches, graphs, waits, allocations;
};
HostCalls calls_per_step(const std::string& method, const std::string& more) {
  TemporaryFolder folder;
  const auto counts = [&](int steps) {
    const Outcome o = run_patchcl(
        "train --device cuda --data phantom:cases=4,val=1,size=32,slices=3 --labeled 2 --size 32 --batch 4 "
        "--widths 4,8"
        " --dropout 0.1,0.2 --val-every 0 --log-every 1000 --iters " +
            std::to_string(steps) + " --method " + method + if_read(method, "warm-up", "0") +
            if_read(method, "queue-ready", "8") + " " + more + " --out " + (folder / std::to_string(steps)),
        "EMULATED_GPU_COUNTS=1");
    HostCalls c{};
    const size_t at = o.output.find("emulated GPU: launches");
    const int read = at == std::string::npos
                         ? 0
                         : std::sscanf(o.output.c_str() + at,
                               "emulated GPU: launches %lf graphs %lf waits %lf allocations %lf", &c.launches,
                               &c.graphs, &c.waits, &c.allocations);
    EXPECT_EQ(read, 4) << o.output;
    return c;
  };
  const HostCalls a = counts(10), b = counts(20);
  return {(b.launches - a.launches) / 10, (b.graphs - a.graphs) / 10, (b.waits - a.waits) / 10,
      (b.allocations - a.allocations) / 10};
}

TEST_F(EmulatedGpu, AStepNeitherWaitsNorTakesMemory) {
  for (const std::string& method : program_methods()) {
    if (!make_method(method)->recordable()) continue;
    const HostCalls plain = calls_per_step(method, ""), recorded = calls_per_step(method, "--graph on");
    EXPECT_EQ(plain.waits, 0) << method;
    EXPECT_EQ(plain.allocations, 0) << method;
    EXPECT_EQ(recorded.waits, 0) << method;
    EXPECT_EQ(recorded.allocations, 0) << method;
    EXPECT_EQ(recorded.graphs, 1) << method;
    EXPECT_LE(recorded.launches, 2) << method << ": the teacher's average is outside the recording";
    std::printf("%s: %.0f launches a step, recorded %.0f and one graph\n", method.c_str(), plain.launches,
        recorded.launches);
  }
  const HostCalls contrast = calls_per_step("patchcl", "");
  EXPECT_EQ(contrast.waits, 2) << "the windows' means and the teacher's embeddings";
  EXPECT_EQ(contrast.allocations, 0);
  std::printf("patchcl: %.0f launches a step\n", contrast.launches);
}

Tensor moved(const Tensor& t, const Arena& arena) {
  const Tensor there = arena.empty(t.shape(), t.dtype());
  copy(t, there);
  return there;
}

// Between types too, as a spot check in f64 on the CPU of a run in f32 on the GPU wants.
TEST_F(EmulatedGpu, NumbersChangeTheirTypeOnTheWay) {
  const Arena host("test"), gpu("test", Device::cuda);
  const Tensor f32 = host.empty({3}, DType::f32), f64 = host.empty({3}, DType::f64),
               there = gpu.empty({3}, DType::f32), back = gpu.empty({3}, DType::f64);
  for (int i = 0; i < 3; ++i) f32.data<float>()[i] = float(i) + 0.1f;
  copy(f32, there);
  convert(there, f64);
  convert(there, back);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(f64.data<double>()[i], double(f32.data<float>()[i]));
    EXPECT_EQ(back.item(i), double(f32.data<float>()[i]));
  }
  convert(f64, there);
  EXPECT_EQ(there.item(2), double(f32.data<float>()[2]));
}

TEST_F(EmulatedGpu, ARunIsAuditedAndItsTermsMatched) {
  TemporaryFolder folder;
  const std::string run = folder / "run";
  const Outcome audited =
      run_patchcl(options("--method mean-teacher --iters 2 --audit-every 1 --out " + run));
  EXPECT_EQ(audited.code, 0) << audited.output;
  EXPECT_NE(bytes_of(run + "/audit.jsonl"), "");
  const Outcome matched = run_patchcl(
      options("--method patchcl --queue-ready 2 --iters 202 --contrast-match 1 --val-every 0 --out " +
              folder / "matched"));
  EXPECT_EQ(matched.code, 0) << matched.output;
}

// Windows and patches found on the GPU against the host's.
TEST_F(EmulatedGpu, PatchesAreTheHosts) {
  constexpr int64_t n = 2, side = 40, K = 3;
  const Arena host("test"), gpu("test", Device::cuda);
  const Tensor images = host.empty({n, side, side, 1}, DType::f32),
               labels = host.empty({n, side, side}, DType::u8);
  Rng rng(3);
  for (int64_t i = 0; i < images.numel(); ++i) {
    images.data<float>()[i] = float(rng.uniform());
    labels.data<uint8_t>()[i] = uint8_t(i / 200 % 4);  // one class too many
  }
  const Tensor c = host.empty({n, side, side, K}, DType::f32), c_gpu = gpu.empty(c.shape(), DType::f32),
               images_gpu = moved(images, gpu);
  one_hot(labels, c);
  one_hot(moved(labels, gpu), c_gpu);
  const Tensor c_read = moved(c_gpu, host);
  for (int64_t i = 0; i < c.numel(); ++i) ASSERT_EQ(c_read.data<float>()[i], c.data<float>()[i]);
  for (int64_t i = 0; i < c.numel(); ++i)
    c.data<float>()[i] = float(0.9 * c.data<float>()[i] + 0.1 * rng.uniform());
  copy(c, c_gpu);
  const PatchImages here{n, side, side, 1, K, images.data<float>(), c.data<float>()};
  PatchImages there = here;
  there.images = images_gpu.data<float>();
  there.confidence = c_gpu.data<float>();
  there.gpu = &gpu;

  for (EntropyOf of : {EntropyOf::confidence, EntropyOf::attended_image}) {
    const WindowGrid grid(side, side, 16, 7);
    const WindowStatistics a = window_statistics(here, grid, of), b = window_statistics(there, grid, of);
    ASSERT_EQ(a.entropy.size(), b.entropy.size());
    for (size_t i = 0; i < a.entropy.size(); ++i) {
      EXPECT_NEAR(a.entropy[i], b.entropy[i], 1e-6);
      EXPECT_NEAR(a.confidence[i], b.confidence[i], 1e-6);
    }
  }
  const std::vector<Patch> patches{{.image = 0, .top = 3, .left = 8, .label = 1},
      {.image = 1, .top = 24, .left = 0, .label = 2}, {.image = 1, .top = 0, .left = 24, .label = 0}};
  Rng draws(9);
  std::vector<PatchView> views;
  for (size_t i = 0; i < patches.size(); ++i) views.push_back(draw_view(16, 1, draws));
  const Shape shape{3, 16, 16, 1};
  const Tensor a = host.empty(shape, DType::f32), b = gpu.empty(shape, DType::f32);
  const auto expect_equal = [&](const char* what) {
    const Tensor read = moved(b, host);
    for (int64_t i = 0; i < a.numel(); ++i)
      ASSERT_NEAR(a.data<float>()[i], read.data<float>()[i], 1e-6) << what << ", element " << i;
  };
  cut_patches(here, patches, true, a);
  cut_patches(there, patches, true, b);
  expect_equal("as they are");
  view_patches(here, patches, views, true, a);
  view_patches(there, patches, views, true, b);
  expect_equal("in their views");
}

// The network of METHODS 2.4, narrower: what the CPU computes, in f32 and in bf16.
TEST_F(EmulatedGpu, AUNetWithInstanceNormIsThatOfTheCpu) {
  ParamLayout layout;
  const UNet unet(layout, {.widths = {4, 6, 8},
                              .dropout = {0, 0, 0},
                              .norm = NormKind::instance,
                              .decoder_norm = false,
                              .up = Upsampling::transposed});
  const Arena host("test"), gpu("test", Device::cuda);
  const Shape images{2, 8, 12, 1};
  const Tensor x = host.empty(images, DType::f32);
  Rng rng(4);
  for (int64_t i = 0; i < x.numel(); ++i) x.data<float>()[i] = float(rng.uniform());
  const auto logits = [&](const Arena& arena) {
    ParamStore store(layout, arena, DType::f32, false);
    store.init(1);
    const Tensor input = arena.empty(images, DType::f32), read = host.empty({2, 8, 12, 4}, DType::f32);
    copy(x, input);
    Tape tape(arena, {.grad = false});
    Pass pass(tape, store, /*training=*/false);
    copy(unet.forward(pass, tape.constant(input)).logits.value(), read);
    return read;
  };
  for (const auto& [math, tolerance] : {std::pair(MathMode::f32, 1e-5), {MathMode::bf16, 3e-2}}) {
    set_math_mode(math);
    const Tensor a = logits(host), b = logits(gpu);
    set_math_mode(MathMode::f32);
    for (int64_t i = 0; i < a.numel(); ++i)
      ASSERT_NEAR(a.data<float>()[i], b.data<float>()[i], tolerance) << i;
  }
}

}  // namespace
