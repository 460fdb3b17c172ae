// The page of a run: what is in it, and what becomes of a damaged folder.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tensor/file.h"
#include "tests/command_line.h"
#include "train/evaluate/html.h"

using namespace patchcl;
using patchcl::test::run_patchcl;

namespace {

class RunReport : public testing::Test {
 protected:
  void SetUp() override {
    const auto run = run_patchcl(
        "train --data phantom:cases=8,size=32 --size 32 --batch 4 --iters 4 --val-every 2 --log-every 1 "
        "--uafs decoder --out " +
        folder_);
    ASSERT_EQ(run.code, 0) << run.output;
  }
  std::string page() const { return read_text(folder_ + "/report.html"); }
  void write(const std::string& name, const std::string& text) const {
    write_text(folder_ + "/" + name, text);
  }

  const patchcl::test::TemporaryFolder temporary_;
  const std::string folder_ = temporary_ / "run";
};

}  // namespace

TEST_F(RunReport, IsWrittenByTrainingAndHoldsAllParts) {
  const std::string text = page();
  for (const char* part : {"Scores of the last weights", "Validation Dice by class", "Learning rate",
           "the best and the worst", "One held-out case over time", "first-2", "first-4", " Dice 0.",
           "uncertainty-4", ">uncertainty H by level", ">decoder 0: 0.", "What ran", "Options, all of them",
           "uafs=&quot;decoder&quot;"})
    EXPECT_NE(text.find(part), std::string::npos) << part;
  EXPECT_NE(text.find("<polyline"), std::string::npos);
  EXPECT_EQ(text.find(">encoder 0: 0."), std::string::npos) << "only the decoder has gates";
  EXPECT_EQ(text.find("src=\"http"), std::string::npos);  // needs nothing else
}

TEST_F(RunReport, ShowsTheScoresOfTheBestWeightsBesideTheLast) {
  const std::string best = "{\"mean\":{\"dice\":0.75,\"hd95\":3}}",
                    last = "{\"mean\":{\"dice\":0.5,\"hd95\":4}}";
  write("best.json", best);
  write("results.json", last);
  EXPECT_EQ(run_patchcl("report " + folder_).code, 0);
  for (const char* part : {"Scores of the best weights, which eval and predict take", "0.7500",
           "Scores of the last weights on", "0.5000"})
    EXPECT_NE(page().find(part), std::string::npos) << part;
  write("results.json", best);
  EXPECT_EQ(run_patchcl("report " + folder_).code, 0);
  EXPECT_NE(page().find("Scores of the last weights, which are the best,"), std::string::npos);
}

TEST(Plot, ACurveOfOnePointIsADot) {
  EXPECT_NE(html::plot({{"a", {5}, {0.5}}}, "step").find("<circle"), std::string::npos);
  EXPECT_EQ(html::plot({{"a", {5, 6}, {0.5, 0.7}}}, "step").find("<circle"), std::string::npos);
}

TEST_F(RunReport, AuditedRunsShowTheGradientNormOfEachTerm) {
  const std::string heading = "Gradient norms by loss term";
  EXPECT_EQ(page().find(heading), std::string::npos) << "this run was not audited";
  write("audit.jsonl",
      "{\"iteration\":2,\"terms\":[{\"name\":\"ce\",\"gradient_norm\":{\"a\":1}},{\"name\":3}]}\n[{\n"
      "{\"iteration\":4,\"terms\":[{\"name\":\"ce\",\"gradient_norm\":{\"a\":0.3,\"b\":0.4}}]}\n");
  EXPECT_EQ(run_patchcl("report " + folder_).code, 0);
  EXPECT_NE(page().find("ce, last 0.5<"), std::string::npos);
  const std::string audited = temporary_ / "audited";
  const auto run = run_patchcl(
      "train --data phantom:cases=8,size=32 --size 32 --batch 4 --iters 4 --val-every 0 --widths 4 8 "
      "--dropout 0 0 --audit-every 2 --out " +
      audited);
  ASSERT_EQ(run.code, 0) << run.output;
  const std::string text = read_text(audited + "/report.html");
  EXPECT_NE(text.find(heading), std::string::npos);
  EXPECT_EQ(text.find("uncertainty H"), std::string::npos) << "this network has no gates";
  std::istringstream rows(read_text(audited + "/audit.jsonl"));
  nlohmann::json last;
  for (std::string row; std::getline(rows, row);) last = nlohmann::json::parse(row);
  for (const nlohmann::json& term : last.at("terms")) {
    double norm = 0;
    for (const auto& [layer, of_layer] : term.at("gradient_norm").items())
      norm = std::hypot(norm, of_layer.get<double>());
    const std::string said = term.at("name").get<std::string>() + ", last ";
    const size_t at = text.find(said);
    ASSERT_NE(at, std::string::npos) << said;
    EXPECT_NEAR(std::stod(text.substr(at + said.size())), norm, 5e-3 * norm) << said;
  }
}

// Every picture is the file: base64 of a PNG begins with its signature. Its captions are text.
TEST_F(RunReport, PicturesAreFilesWithinThePage) {
  const std::string text = page(), beginning = "href=\"data:image/png;base64,iVBORw0KGgo";
  EXPECT_NE(text.find(">prediction</text>"), std::string::npos);
  size_t pictures = 0, files = 0;
  for (size_t at = text.find(beginning); at != std::string::npos; at = text.find(beginning, at + 1))
    ++pictures;
  for (const char* part : {"overlays", "pictures"})
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder_ + "/" + part))
      ++files;
  EXPECT_GT(files, 1u);
  EXPECT_EQ(pictures, files);
}

TEST_F(RunReport, DamagedLogsLeaveAPartOut) {
  write("metrics.jsonl",
      "{\"iteration\":1,\"lr\":0.1}\n{\"iter\nnull\n[1]\n"
      "{\"iteration\":2,\"validation\":[]}\n{\"iteration\":2,\"validation\":{\"mean\":3,\"classes\":{\"a\":1}"
      "}}\n");
  write("results.json", "{\"mean\":");
  write("run.json", "[1,{\"command\":[1,\"train\"],\"x\":{}}]");
  const auto run = run_patchcl("report " + folder_);
  EXPECT_EQ(run.code, 0) << run.output;
  EXPECT_EQ(page().find("Scores of the last weights"), std::string::npos);
  EXPECT_NE(page().find("Learning rate"), std::string::npos);
}

TEST_F(RunReport, AFolderWithoutARunIsAUsageError) {
  const auto run = run_patchcl("report " + folder_ + "/overlays");
  EXPECT_EQ(run.code, 2);
  EXPECT_NE(run.output.find("config.toml is missing"), std::string::npos) << run.output;
}

namespace {
bool chromium() { return std::system("command -v chromium > /dev/null") == 0; }

// The page as a browser has made it, once its scripts ran; what they complain of goes to the end.
std::string opened(const std::string& page, const std::string& to) {
  const std::string command =
      "timeout 60 chromium --headless --no-sandbox --disable-gpu --enable-logging=stderr "
      "--virtual-time-budget=3000 --dump-dom file://" +
      page + " > " + to + " 2> " + to + ".log";
  EXPECT_EQ(std::system(command.c_str()), 0);
  EXPECT_EQ(read_text(to + ".log").find(":CONSOLE"), std::string::npos) << read_text(to + ".log");
  return read_text(to);
}
}  // namespace

// A page of one step: its numbers are those of the walk-through, its last section a walk through the tape.
TEST(Explain, ShowsTheStepOfTheWalkthrough) {
  const patchcl::test::TemporaryFolder folder;
  const std::string page = folder / "step.html";
  const auto run = run_patchcl("explain walkthrough --html " + page);
  ASSERT_EQ(run.code, 0) << run.output;
  const std::string text = read_text(page), losses = run_patchcl("walkthrough losses").output;
  const size_t total = losses.find("\nL    ");
  ASSERT_NE(total, std::string::npos) << losses;
  EXPECT_NE(text.find("The step's loss: " + losses.substr(total + 15, 8)), std::string::npos);
  EXPECT_NE(text.find("losses/guided_contrastive.h"), std::string::npos);
  EXPECT_EQ(text.find("src=\"http"), std::string::npos);
  if (!chromium()) GTEST_SKIP() << "no chromium to open the page with";
  const std::string dom = opened(page, folder / "seen.html");
  EXPECT_NE(dom.find("<h3 id=\"name\">add, (1)</h3>"), std::string::npos);
  EXPECT_NE(dom.find("op 1 of "), std::string::npos);
  EXPECT_NE(dom.find("<circle"), std::string::npos) << "the embeddings";
  EXPECT_NE(dom.find("are at most 0.0e+0 from its own"), std::string::npos) << "the windows";
}

TEST_F(RunReport, AStepOfARunIsExplainedToo) {
  const std::string page = temporary_ / "step.html";
  const auto run = run_patchcl("explain " + folder_ + " --html " + page);
  ASSERT_EQ(run.code, 0) << run.output;
  EXPECT_NE(read_text(page).find("the step after step"), std::string::npos);
  EXPECT_EQ(run_patchcl("explain " + folder_ + "/overlays --html " + page).code, 6);
}

// The page computes its windows anew in the browser; where there is one, they are the program's.
TEST_F(RunReport, PageOfWindowsAgreesWithTheProgram) {
  const std::string page = temporary_ / "windows.html", images = temporary_ / "images";
  ASSERT_EQ(run_patchcl("data convert phantom:cases=1,size=32 " + images + " --as png").code, 0);
  std::string image;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(images + "/images"))
    if (entry.path().extension() == ".png") image = entry.path().string();
  const auto run = run_patchcl("inspect --weights " + folder_ + " --image " + image +
                               " --patch-side 16 --html " + page + " --out " + (temporary_ / "sheet.png"));
  ASSERT_EQ(run.code, 0) << run.output;
  const std::string text = read_text(page);
  EXPECT_NE(text.find("\"side\":16,"), std::string::npos);
  EXPECT_EQ(text.find("src=\"http"), std::string::npos);
  if (!chromium()) GTEST_SKIP() << "no chromium to open the page with";
  const std::string dom = opened(page, temporary_ / "seen.html");
  const std::string words = "mean h here are at most ";
  const size_t at = dom.find(words, dom.find("id=\"check\""));
  ASSERT_NE(at, std::string::npos) << dom.substr(dom.find("id=\"check\""), 200);
  EXPECT_LT(std::stod(dom.substr(at + words.size())), 1e-5);
}

TEST(WrongUse, TrainWithoutAWordSaysWhatItWants) {
  const auto run = run_patchcl("train");
  EXPECT_EQ(run.code, 2);
  EXPECT_NE(run.output.find("--data FOLDER"), std::string::npos) << run.output;
}

TEST(WrongUse, OptionsThatSubCommandsLackAreNamed) {
  const auto run = run_patchcl("audit model --tensor 3");
  EXPECT_EQ(run.code, 2);
  EXPECT_NE(run.output.find("'--tensor' is not an option here; did you mean '--tensors'?"), std::string::npos)
      << run.output;
}

TEST_F(RunReport, WeightsMayBeARunFolder) {
  const std::string overlays = temporary_ / "overlays";
  const auto run =
      run_patchcl("eval --data phantom:cases=8,size=32 --weights " + folder_ + " --overlays " + overlays);
  EXPECT_EQ(run.code, 0) << run.output;
  for (const auto& entry : std::filesystem::directory_iterator(overlays))
    EXPECT_NE(read_text(entry.path()).find(">decoder 0: 0."), std::string::npos) << entry.path();
}
