// --math on the CPU: what it changes, and that everything else is promised for it too.
#include "tests/json_output.h"
#include "tests/segmentations.h"
#include "tests/small_data.h"
#include "tests/training_runs.h"

using namespace patchcl;
using namespace patchcl::test;

namespace {
// Stopped with two threads, gone on with one in another folder; the checkpoint of one go.
TensorFile gone_on_with_other_threads(const std::string& more, const Arena& memory) {
  TemporaryFolder folder;
  const std::string small =
      "train --data phantom:cases=4,val=1,size=32,slices=3 --size 32 --batch 2 --iters 60 "
      "--val-every 0 --log-every 1 --device cpu --threads 2 " +
      more + " --out ";
  EXPECT_EQ(run_patchcl(small + (folder / "one")).code, 0);
  EXPECT_EQ(interrupt_at(3, SIGTERM, small + (folder / "run"), folder / "run"), 9);
  const Outcome o = run_patchcl(
      "train --resume " + (folder / "run") + " --threads 1 --device cpu --out " + (folder / "other"));
  EXPECT_EQ(o.code, 0) << o.output;
  expect_equal_checkpoints(folder / "one/last.safetensors", folder / "other/last.safetensors");
  return load_tensors(folder / "one/last.safetensors", memory);
}
}  // namespace

TEST(MathMode, ARunOfTheDefaultNetworkGoesOnWithOtherThreadsInAnotherFolder) {
  const Arena memory("test");
  const TensorFile f32 = gone_on_with_other_threads("", memory),
                   bf16 = gone_on_with_other_threads("--math bf16", memory);
  const auto& [name, weight] = *f32.tensors.begin();
  EXPECT_NE(std::memcmp(weight.raw(), bf16.tensors.at(name).raw(), weight.bytes()), 0) << name;
}

TEST(MathMode, Tf32IsForTheGpu) {
  const Outcome o = run_patchcl("train --data phantom --iters 1 --device cpu --math tf32");
  EXPECT_EQ(o.code, 2);
  EXPECT_TRUE(contains(o.output, "--math tf32 is for the GPU; on the CPU there are f32 and bf16"))
      << o.output;
}

TEST(MathMode, HasNoEffectInF64AndIsRefusedThere) {
  const TemporaryFolder folder;
  const std::string small =
      "train --data phantom:cases=4,val=1,size=32,slices=3 --size 32 --batch 2 --iters 1 "
      "--dtype f64 --out " +
      folder / "run --math ";
  for (const char* mode : {"bf16", "tf32"}) {
    const Outcome o = run_patchcl(small + mode);
    EXPECT_EQ(o.code, int(ExitCode::usage)) << o.output;
    EXPECT_TRUE(contains(o.output, std::string("--math ") + mode + " has no effect with --dtype f64"))
        << o.output;
  }
}

TEST(MathMode, Bf16SegmentsAsF32Does) {
  expect_segments_as_in_f32(
      "weights/acdc-7-base.safetensors", "phantom:cases=3,val=2,size=128,slices=4", "bf16");
}

namespace {
class EveryWay : public testing::TestWithParam<std::string> {};

std::vector<std::string> ways() {
  std::vector<std::string> all;
  for (const std::string& method : program_methods()) all.push_back("--method " + method);
  for (const char* network : {"--uafs all", "--norm instance --up transposed --decoder-norm false",
           "--fused false", "--widths 5,9,16 --dropout 0.1,0.2,0.3"})
    all.push_back(network);
  all.push_back("--method mean-teacher --pdcr 0.1 --pdcr-levels 1,2 --pdcr-unlabeled true");
  all.push_back("--method patchcl --embed region --contrast prototype");
  return all;
}
}  // namespace

INSTANTIATE_TEST_SUITE_P(MathMode, EveryWay, testing::ValuesIn(ways()), [](const auto& info) {
  std::string name = info.param;
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  return name;
});

// The losses of the first steps are those of f32 but for rounding, which then grows.
TEST_P(EveryWay, BeginsInBf16AsInF32) {
  TemporaryFolder folder;
  std::vector<double> losses[2];
  for (const bool half : {false, true}) {
    const std::string run = folder / (half ? "bf16" : "f32");
    const bool widths = contains(GetParam(), "--widths");
    const Outcome o = run_patchcl(
        "train --data phantom:cases=6,val=1,size=32,slices=3 --labeled 2 --size 32 --batch 4 --iters 12 "
        "--val-every 0 --log-every 1 --device cpu --threads 1 --lr 0.001 " +
        GetParam() + (widths ? "" : " --widths 16,32,32 --dropout 0.1,0.1,0.2") + " --out " + run +
        (half ? " --math bf16" : ""));
    ASSERT_EQ(o.code, 0) << o.output;
    std::ifstream log(run + "/metrics.jsonl");
    for (std::string line; std::getline(log, line);) {
      const auto row = nlohmann::json::parse(line);
      if (row.contains("loss")) losses[half].push_back(row["loss"]);
    }
  }
  ASSERT_EQ(losses[0].size(), losses[1].size());
  ASSERT_GE(losses[0].size(), 3u);
  for (size_t i = 0; i < 3; ++i)
    EXPECT_NEAR(losses[1][i], losses[0][i], 0.03 * std::fabs(losses[0][i])) << "step " << i + 1;
  EXPECT_NE(losses[0], losses[1]);
}
