// Numbers of classes that stand for other classes on one side than on the other: names are compared, and what
// a prediction's numbers are is asked where it matters.
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/command_line.h"
#include "tests/json_output.h"
#include "tests/small_data.h"
#include "tests/small_model.h"

using namespace patchcl;
using namespace patchcl::test;
using nlohmann::json;
using patchcl::test::Outcome;

namespace {

using Words = std::vector<std::string>;

void expect_refused(const std::string& arguments, const std::string& message) {
  const Outcome o = run_patchcl(arguments);
  EXPECT_EQ(o.code, int(ExitCode::usage)) << arguments << "\n" << o.output;
  EXPECT_TRUE(contains(o.output, message)) << arguments << "\n" << o.output;
}

json scored(const std::string& arguments) {
  const Outcome o = run_patchcl(arguments + " --json -");
  EXPECT_EQ(o.code, 0) << arguments << "\n" << o.output;
  return o.code == 0 ? json_in(o) : json{};
}

// A data set of background, head and tail, and networks with names of their own.
class ClassNames : public testing::Test {
 protected:
  void SetUp() override { write_nifti_set(set_, /*nnunet=*/true); }
  std::string weights(const std::string& file, const Words& names) const {
    ModelInfo info = small_network(3);
    info.class_names = names;
    save_random_model(folder_ / file, info);
    return folder_ / file;
  }
  TemporaryFolder folder_;
  const std::string set_ = folder_ / "set",
                    eval_ = "eval --threads 1 --split train --data " + set_ + " --weights ";
};

}  // namespace

TEST_F(ClassNames, OfADataSetInAnotherOrderAreRefusedWithTheOptionThatHelps) {
  const std::string w = weights("w.safetensors", {"background", "tail", "head"});
  expect_refused(
      eval_ + w, "w.safetensors has tail, head; " + set_ + " has head, tail; say --label-values 0,2,1");
  const json mended = scored(eval_ + w + " --label-values 0,2,1");
  EXPECT_EQ(mended["pooled"].begin().key(), "head");  // in the order of names
  const json same = scored(eval_ + weights("same.safetensors", {"background", "head", "tail"}));
  EXPECT_NE(mended["pooled"]["head"], same["pooled"]["head"]) << "the network's first class is the tail";
  EXPECT_EQ(mended["pixel_accuracy"] == same["pixel_accuracy"], false);
  expect_refused(eval_ + folder_ / "same.safetensors --label-values 0,2,1", "say --label-values 0,1,2");
}

TEST_F(ClassNames, ThatMerelyDifferAreNoted) {
  const auto said = [&](const Words& names) {
    const Outcome o = run_patchcl(eval_ + weights("w.safetensors", names));
    EXPECT_EQ(o.code, 0) << o.output;
    return contains(o.output, "other names of classes: ");
  };
  EXPECT_TRUE(said({"background", "anterior", "posterior"}));
  EXPECT_FALSE(said({"nothing", "head", "tail"}));
  EXPECT_FALSE(said({"background", "class 1", "class 2"}));
  EXPECT_FALSE(said({}));
}

TEST_F(ClassNames, OfNetworksThatPredictTogetherAreOfOneOrder) {
  const std::string a = weights("a.safetensors", {"background", "head", "tail"}),
                    b = weights("b.safetensors", {"background", "tail", "head"}),
                    none = weights("c.safetensors", {});
  expect_refused(eval_ + a + "," + b, "a.safetensors has head, tail; " + b + " has tail, head");
  EXPECT_EQ(run_patchcl(eval_ + a + "," + none).code, 0);
}

TEST_F(ClassNames, OfWhatPredictWroteAreThoseThatEvalScored) {
  const std::string w = weights("w.safetensors", {"background", "tail", "head"}),
                    list = " --label-values 0,2,1", out = folder_ / "out";
  const json evaluated = scored(eval_ + w + list)["pooled"];
  ASSERT_EQ(run_patchcl("predict --threads 1 --split train --weights " + w + " " + set_ + " " + out).code, 0);
  const std::string score = "score " + set_ + "/labelsTr " + out + list;
  expect_refused(score, "--prediction-holds values or --prediction-holds classes");
  const json classes = scored(score + " --prediction-holds classes")["pooled"];
  EXPECT_EQ(classes["class 1"], evaluated["tail"]);
  EXPECT_EQ(classes["class 2"], evaluated["head"]);
  EXPECT_NE(scored(score + " --prediction-holds values")["pooled"]["class 1"], evaluated["tail"]);
  EXPECT_EQ(scored(score + " --binary")["pooled"].size(), 1u) << "one class is no matter of order";
  const std::string itself = "score " + set_ + "/labelsTr " + set_ + "/labelsTr";
  EXPECT_EQ(scored(itself + list + " --prediction-holds values")["pooled"]["class 1"]["dice"], 1);
  EXPECT_EQ(scored(itself + " --label-values 0,1,2")["pooled"]["class 1"]["dice"], 1) << "both are the same";
  expect_refused(itself + " --prediction-holds classes", "leave it out");
}
