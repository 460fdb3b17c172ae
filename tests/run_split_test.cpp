// The cases that eval and predict take of a run's own data are those that its training held out.
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "tensor/file.h"
#include "tests/command_line.h"
#include "tests/small_data.h"

using namespace patchcl;
using namespace patchcl::test;
namespace fs = std::filesystem;

namespace {

const std::string kData = "phantom:cases=5,val=1,size=32,slices=2";

class RunSplit : public testing::Test {
 protected:
  // A run that holds out the second of five cases.
  void train(const std::string& run, const std::string& more, const std::string& data = kData) const {
    const Outcome o = run_patchcl("train --data " + data +
                                  " --labeled 2 --size 16 --batch 2 --widths 2,4 --dropout 0,0.1 --threads 1 "
                                  "--device cpu --iters 1 --out " +
                                  run + " " + more);
    ASSERT_EQ(o.code, 0) << o.output;
  }
  void SetUp() override { train(run_, "--fold 2/5"); }

  Outcome eval(const std::string& more) const {
    fs::remove(folder_ / "scores.json");
    return run_patchcl("eval --threads 1 --json " + (folder_ / "scores.json") + " " + more);
  }
  std::string scored() const {
    const nlohmann::json scores = nlohmann::json::parse(read_text(folder_ / "scores.json"));
    std::string ids;
    for (const auto& c : scores.at("cases")) ids += c.at("id").get<std::string>() + " ";
    return ids;
  }

  const TemporaryFolder folder_;
  const std::string run_ = folder_ / "run";
};

TEST_F(RunSplit, IsThatOfTraining) {
  const std::string note = "split as in " + run_ + "/config.toml: --fold 2/5";
  ASSERT_EQ(eval("--data " + kData + " --fold 2/5 --weights " + run_).code, 0);
  const std::string held_out = scored();
  for (const std::string& weights : {run_, run_ + "/best.safetensors"}) {
    const Outcome o = eval("--data " + kData + " --weights " + weights);
    ASSERT_EQ(o.code, 0) << o.output;
    EXPECT_TRUE(contains(o.output, note)) << o.output;
    EXPECT_EQ(scored(), held_out);
  }
  const std::string masks = folder_ / "masks";
  const Outcome o =
      run_patchcl("predict --threads 1 --split val --weights " + run_ + " " + kData + " " + masks);
  ASSERT_EQ(o.code, 0) << o.output;
  EXPECT_TRUE(contains(o.output, note)) << o.output;
  ASSERT_EQ(std::distance(fs::directory_iterator(masks), {}), 1);
  EXPECT_TRUE(held_out.starts_with(fs::directory_iterator(masks)->path().stem().stem().string())) << held_out;
}

TEST_F(RunSplit, GivesWayToTheCommandLine) {
  const Outcome o = eval("--data " + kData + " --fold 3/5 --weights " + run_);
  ASSERT_EQ(o.code, 0) << o.output;
  EXPECT_FALSE(contains(o.output, "split as in")) << o.output;
  const std::string third = scored();
  ASSERT_EQ(eval("--data " + kData + " --fold 2/5 --weights " + run_).code, 0);
  EXPECT_NE(scored(), third);
}

TEST_F(RunSplit, IsNotTakenOverToOtherData) {
  const Outcome o = eval("--data phantom:cases=6,val=1,size=32,slices=2 --weights " + run_);
  ASSERT_EQ(o.code, 0) << o.output;
  EXPECT_TRUE(contains(o.output, "is of other data")) << o.output;
  EXPECT_TRUE(contains(o.output, "--fold 2/5; not taken over")) << o.output;
}

TEST_F(RunSplit, OfTwoRunsMustBeOne) {
  train(folder_ / "other", "--fold 3/5");
  const std::string both = "--data " + kData + " --weights " + run_ + "," + (folder_ / "other");
  const Outcome o = eval(both);
  EXPECT_EQ(o.code, 2) << o.output;
  EXPECT_TRUE(contains(o.output, "--fold 2/5") && contains(o.output, "--fold 3/5")) << o.output;
  EXPECT_EQ(eval(both + " --fold 1/5").code, 0);
}

TEST_F(RunSplit, OfAPlainRunNeedsNoWord) {
  train(folder_ / "plain", "");
  const Outcome o = eval("--data " + kData + " --weights " + (folder_ / "plain"));
  ASSERT_EQ(o.code, 0) << o.output;
  EXPECT_FALSE(contains(o.output, "split as in")) << o.output;
}

TEST_F(RunSplit, IsFoundInAFolderWithACommaInItsName) {
  const std::string run = folder_ / "lr=0,01";
  train(run, "--fold 3/5");
  const Outcome o = eval("--data " + kData + " --weights " + run);
  ASSERT_EQ(o.code, 0) << o.output;
  EXPECT_TRUE(contains(o.output, "split as in " + run)) << o.output;
  EXPECT_EQ(eval("--data " + kData + " --fold 1/5 --weights " + run_ + "," + run_).code, 0);
}

// Its training holds out the second of five pictures.
class RunOnPictures : public RunSplit {
 protected:
  void SetUp() override {
    write_tiles(data_);
    train(run_, "--fold 2/5", data_);
  }
  const std::string data_ = folder_ / "data";
};

TEST_F(RunOnPictures, KnowsItsDataWhereverTheyLie) {
  fs::rename(data_, folder_ / "moved");
  const Outcome o = eval("--data " + (folder_ / "moved") + " --weights " + run_);
  ASSERT_EQ(o.code, 0) << o.output;
  EXPECT_TRUE(contains(o.output, "split as in " + run_ + "/config.toml: --fold 2/5")) << o.output;
  EXPECT_EQ(scored(), "tile_1 ");
}

TEST_F(RunOnPictures, DoesNotScoreWhatItTrainedOnWhereCasesWent) {
  for (const char* folder : {"/images", "/masks"}) fs::remove(data_ + folder + "/tile_1.png");
  const std::string weights = " --weights " + run_, changed = "does not hold the cases of " + run_;
  for (const std::string& command :
      {"eval --data " + data_, "predict --split val " + data_ + " " + folder_ / "masks",
          "calibrate --data " + data_ + " --out " + folder_ / "int8.safetensors"}) {
    const Outcome o = run_patchcl(command + weights);
    EXPECT_EQ(o.code, 3) << o.output;
    EXPECT_TRUE(contains(o.output, changed) && contains(o.output, "bring them back, or say --split test"))
        << o.output;
  }
  const Outcome told = eval("--val 1 --data " + data_ + weights);
  EXPECT_EQ(told.code, 0) << told.output;
  EXPECT_TRUE(contains(told.output, changed)) << told.output;
}

TEST_F(RunOnPictures, SaysWhichCasesOfAnotherFoldItTrainedOn) {
  const Outcome o = eval("--data " + data_ + " --fold 1/2 --weights " + run_);
  ASSERT_EQ(o.code, 0) << o.output;
  EXPECT_TRUE(contains(o.output, "held out others: it trained on 3 of these 3 cases (tile_0 ...)"))
      << o.output;
  const Outcome same = eval("--data " + data_ + " --fold 2/5 --weights " + run_);
  EXPECT_FALSE(contains(same.output, "held out others")) << same.output;
}

}  // namespace
