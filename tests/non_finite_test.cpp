// A network without numbers makes no mask, in any arithmetic.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>

#include "tests/command_line.h"
#include "tests/small_model.h"

using namespace patchcl;
using namespace patchcl::test;
using patchcl::test::Outcome;

namespace {
const std::string kHearts = "--data phantom:cases=4,val=2,size=40,slices=";
}  // namespace

TEST(NonFinite, WeightsAreRefusedByName) {
  const TemporaryFolder folder;
  save_picture(folder / "image.png");
  const Arena arena("test");
  for (const float wrong :
      {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    const auto model = random_model(4, arena, 4);
    model->weights.value(0).data<float>()[0] = wrong;
    save_model(folder / "w.safetensors", *model);
    const std::string w = " --threads 1 --weights " + folder / "w.safetensors ";
    for (const std::string& command : {"predict" + w + folder / "image.png " + folder / "mask.png",
             "predict --math bf16" + w + folder / "image.png " + folder / "mask.png",
             "eval" + w + kHearts + "2"}) {
      const Outcome o = run_patchcl(command);
      EXPECT_EQ(o.code, int(ExitCode::non_finite)) << command << o.output;
      EXPECT_TRUE(contains(o.output, "w.safetensors: " + model->layout.parameters()[0].name)) << o.output;
    }
  }
  EXPECT_FALSE(std::filesystem::exists(folder / "mask.png"));
}

// The factors of int8 would be numbers all the same.
TEST(NonFinite, WeightsAreRefusedInBytesToo) {
  const TemporaryFolder folder;
  save_picture(folder / "image.png");
  const Arena arena("test");
  ModelInfo info = small_network();
  info.unet.widths = {16, 16, 16};
  info.unet.ranges = true;
  const auto model = random_model(4, arena, info);
  const auto predict = [&] {
    save_model(folder / "w.safetensors", *model);
    return run_patchcl("predict --math int8 --threads 1 --weights " + folder / "w.safetensors " +
                       folder / "image.png " + folder / "mask.png");
  };
  ASSERT_EQ(predict().code, 0);
  const auto& parameters = model->layout.parameters();
  const auto at = std::find_if(parameters.begin(), parameters.end(), [](const ParamInfo& p) {
    return p.shape == Shape{3, 3, 16, 16};
  });
  ASSERT_NE(at, parameters.end());
  model->weights.value(int(at - parameters.begin())).data<float>()[0] = std::nanf("");
  EXPECT_EQ(predict().code, int(ExitCode::non_finite));
}

// Weights that are numbers may still be too large for their sums.
TEST(NonFinite, ProbabilitiesAreRefusedWithTheirSlice) {
  const TemporaryFolder folder;
  save_picture(folder / "image.png");
  const Arena arena("test");
  const auto model = random_model(4, arena, 4);
  for (int64_t i = 0; i < model->layout.flat_size(); ++i) model->weights.values().data<float>()[i] *= 1e30f;
  save_model(folder / "w.safetensors", *model);
  const std::string w = " --threads 1 --weights " + folder / "w.safetensors ";
  for (const std::string options : {"", "--fit crop", "--bilinear-back", "--math bf16", "--tta"}) {
    const Outcome o = run_patchcl("predict " + options + w + folder / "image.png " + folder / "mask.png");
    EXPECT_EQ(o.code, int(ExitCode::non_finite)) << options << o.output;
    EXPECT_TRUE(contains(o.output, "'image', slice 0: the network's probabilities are not finite"))
        << o.output;
  }
  const Outcome o = run_patchcl("eval" + w + kHearts + "2");
  EXPECT_EQ(o.code, int(ExitCode::non_finite)) << o.output;
  EXPECT_FALSE(std::filesystem::exists(folder / "mask.png"));
}
