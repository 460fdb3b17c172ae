// What options take of a network, the network is and weights files may describe: one limit, not three.
#include <gtest/gtest.h>

#include "tests/command_line.h"
#include "tests/small_learner.h"
#include "train/setup/model_file.h"

using namespace patchcl;
using namespace patchcl::test;

namespace {

// The error of what no network is, and its code.
std::string refused(const UNetConfig& config, ExitCode code = ExitCode::usage) {
  try {
    ParamLayout layout;
    UNet(layout, config);
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), code) << e.what();
    return e.what();
  }
  return "";
}

UNetConfig of_levels(int levels) {
  UNetConfig c;
  c.widths.assign(size_t(levels), 1);
  c.dropout.assign(size_t(levels), 0);
  return c;
}

}  // namespace

TEST(NetworkLimits, AreThoseOfTheNetworkItself) {
  EXPECT_EQ(refused(of_levels(kMostLevels)), "");
  EXPECT_TRUE(contains(refused(of_levels(kMostLevels + 1)), "wants 2 to 12 widths, got 13"));
  UNetConfig c = small().network;
  c.dropout[1] = 1;
  EXPECT_TRUE(contains(refused(c), "a dropout rate of 1; rates are at least 0 and below 1"));
  c = small().network;
  c.classes = kMostOutputs + 1;
  EXPECT_TRUE(contains(refused(c), "257 classes"));
}

TEST(NetworkLimits, OptionsTakeNoMore) {
  const std::string train = "train --data phantom:cases=4,val=1,size=32,slices=2 --device cpu --iters 1 ";
  const TemporaryFolder folder;
  const std::string out = "--out " + (folder / "run") + " ";
  const Outcome rate = run_patchcl(train + out + "--widths 2,4 --dropout 0,1");
  EXPECT_EQ(rate.code, 2) << rate.output;
  EXPECT_TRUE(contains(rate.output, "--dropout '1' is not in [0,1)")) << rate.output;
  const Outcome levels =
      run_patchcl(train + out + "--widths 1,1,1,1,1,1,1,1,1,1,1,1,1 --dropout 0,0,0,0,0,0,0,0,0,0,0,0,0");
  EXPECT_EQ(levels.code, 2) << levels.output;
  EXPECT_TRUE(contains(levels.output, "wants 2 to 12 widths, got 13")) << levels.output;
}

// A run of --size 65536 was one whose weights nothing could read.
TEST(NetworkLimits, WeightsOfTheLargestNetworkAreRead) {
  const Arena arena("test");
  ModelInfo info;
  info.unet = small().network;
  info.size = kLargestSide;
  const Model model(info, arena);
  TensorFile file;
  put_model_info(file, info);
  put_weights(file, model.weights, 0);
  EXPECT_EQ(get_model_info(file, "w").size, kLargestSide);
  file.metadata["size"] = std::to_string(kLargestSide + 1);
  EXPECT_THROW(get_model_info(file, "w"), Error);
}
