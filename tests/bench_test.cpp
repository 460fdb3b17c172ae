// What `patchcl bench` reckons and prints; never how fast it was.
#include <gtest/gtest.h>

#include "tests/command_line.h"
#include "train/bench/bench.h"

using namespace patchcl;
using namespace patchcl::test;

TEST(Bench, AmdahlFindsTheShareThatThreadsDoNotShare) {
  // 2 s that nobody shares and 8 s that all do.
  EXPECT_DOUBLE_EQ(bench::serial_share(10, 6, 2), 0.2);
  EXPECT_DOUBLE_EQ(bench::serial_share(10, 4, 4), 0.2);
  EXPECT_DOUBLE_EQ(bench::amdahl(0.2, 8), 10. / 3);
  EXPECT_DOUBLE_EQ(bench::amdahl(0, 64), 64);
  EXPECT_EQ(bench::serial_share(10, 4, 2), 0) << "faster than twice: caches, not magic";
}

TEST(Bench, ScaleHasARowForEachSizeAndLeavesOutWhatIsTooLarge) {
  const Outcome o =
      run_patchcl("bench scale --sizes 32,64 --batches 1,4 --most-pixels 8192 --seconds 0.001 --threads 2");
  EXPECT_EQ(o.code, 0) << o.output;
  EXPECT_TRUE(contains(o.output, "| images | batch 1 | batch 4 |")) << o.output;
  EXPECT_TRUE(contains(o.output, "| 32x32 |")) << o.output;
  EXPECT_TRUE(contains(o.output, "| - |")) << "four of 64x64 are too many: " << o.output;
  EXPECT_TRUE(contains(o.output, "bytes per pixel")) << o.output;
}

// Against PyTorch, or the reason why not.
TEST(Bench, ContrastsAreCompared) {
  const TemporaryFolder folder;
  const Outcome o = run_patchcl("bench contrast --vectors 64 --pairs 1 --out " + (folder / "bench"));
  EXPECT_EQ(o.code, 0) << o.output;
  EXPECT_TRUE(contains(o.output, "| 64 vectors | contrast |")) << o.output;
  const Outcome served = run_patchcl("bench serve --vectors 64 --threads 1 < /dev/null");
  EXPECT_EQ(served.code, 0) << served.output;
  EXPECT_TRUE(contains(served.output, "ready")) << served.output;
}
