// What a user meets when the GPU fails, on the GPU of tests/emulated_gpu, which fails on demand: `make test-emulated-gpu`.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "tensor/cuda.h"
#include "tests/command_line.h"

using namespace patchcl;
using namespace patchcl::test;

namespace {

class EmulatedGpu : public testing::Test {
 protected:
  void SetUp() override {
    if (!cuda::available(nullptr) || cuda::device_name() != "emulated on the CPU") GTEST_SKIP() << "this program has no emulated GPU: make test-emulated-gpu";
  }
};

std::string options(const std::string& more) {
  return "train --device cuda --data phantom:cases=4,val=1,size=32,slices=3 --labeled 2 --size 32 --batch 4 --widths 4,8 --dropout 0.1,0.2"
         " --val-every 5 --log-every 1 --seed 5 " + more;
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
  EXPECT_EQ(run_patchcl(options("--device auto --iters 2 --out " + (folder / "b")), "EMULATED_GPU_ABSENT=1").code, 0);
}

TEST_F(EmulatedGpu, TooSmallSuggestsABatchThatFits) {
  TemporaryFolder folder;
  const std::string small = "EMULATED_GPU_MIB=200";
  const Outcome o = run_patchcl(options("--size 128 --widths 16,32,64,128,256 --dropout 0,0,0,0,0 --batch 24 --iters 1 --out " + (folder / "a")), small);
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
  for (const char* part : {"cudaErrorLaunchFailure", ".cu", "the last checkpoint is intact"}) EXPECT_NE(o.output.find(part), std::string::npos) << o.output;
  const Outcome resumed = run_patchcl("train --resume " + lost);
  ASSERT_EQ(resumed.code, 0) << resumed.output;
  EXPECT_EQ(bytes_of(whole + "/metrics.csv"), bytes_of(lost + "/metrics.csv"));
  EXPECT_EQ(bytes_of(whole + "/best.safetensors").size(), bytes_of(lost + "/best.safetensors").size());
}

}  // namespace
