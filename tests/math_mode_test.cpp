// --math on the CPU: what it changes, and that everything else is promised for it too.
#include "tests/json_output.h"
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

// A trained network's masks hardly change with bf16 factors, but they do.
TEST(MathMode, Bf16SegmentsAsF32Does) {
  nlohmann::json results[2];
  for (const bool coarse : {false, true}) {
    const Outcome o = run_patchcl(
        "eval --data phantom:cases=3,val=2,size=128,slices=4 --weights "
        "weights/acdc-7-base.safetensors --json - --math " +
        std::string(coarse ? "bf16" : "f32"));
    ASSERT_EQ(o.code, 0) << o.output;
    results[coarse] = json_in(o)["cases"];
  }
  EXPECT_NE(results[0], results[1]);
  for (const char* name : {"RV", "Myo", "LV"})
    EXPECT_NEAR(results[0][0]["classes"][name]["dice"].get<double>(),
        results[1][0]["classes"][name]["dice"].get<double>(), 0.01)
        << name;
}
