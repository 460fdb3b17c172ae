// Runs that go on elsewhere or otherwise: in another folder, on moved data, with names that need quotes.
#include <gtest/gtest.h>

#include <filesystem>

#include "tensor/file.h"
#include "tensor/io.h"
#include "tests/command_line.h"
#include "tests/small_data.h"
#include "train/options/toml.h"
#include "train/setup/run_folder.h"

using namespace patchcl;
using namespace patchcl::test;
namespace fs = std::filesystem;

namespace {

std::string small(const std::string& run, const std::string& more) {
  return "train --size 16 --batch 4 --widths 2,4 --dropout 0,0.1 --threads 1 --log-every 1 --device cpu "
         "--out " +
         run + " " + more;
}
const std::string kPhantom = "--data phantom:cases=4,val=1,size=32,slices=4 --labeled 2 ";

TEST(Resume, InAnotherFolderTheRunIsWholeThereAndStaysWhereItWas) {
  const TemporaryFolder folder;
  const std::string a = folder / "a", b = folder / "b", one = folder / "one";
  const std::string options = kPhantom + "--schedule constant --val-every 2 ";
  ASSERT_EQ(run_patchcl(small(one, options + "--iters 6")).code, 0);
  ASSERT_EQ(run_patchcl(small(a, options + "--iters 4")).code, 0);
  const std::string last = read_text(a + "/last.safetensors"), metrics = read_text(a + "/metrics.csv");
  const std::string command = "train --resume " + a + " --extend 2 --out " + b;
  const Outcome o = run_patchcl(command);
  ASSERT_EQ(o.code, 0) << o.output;
  for (const char* file : {"/metrics.csv", "/best.json", "/results.md"})
    EXPECT_EQ(read_text(b + file), read_text(one + file)) << file;
  EXPECT_TRUE(fs::exists(b + "/best.safetensors"));
  EXPECT_EQ(read_text(a + "/last.safetensors"), last);
  EXPECT_EQ(read_text(a + "/metrics.csv"), metrics);
  const Outcome again = run_patchcl(command);
  EXPECT_EQ(again.code, 2) << again.output;
  EXPECT_TRUE(contains(again.output, "holds a run already")) << again.output;
  const Outcome finished = run_patchcl("train --resume " + a + " --out " + folder / "c");
  EXPECT_EQ(finished.code, 0) << finished.output;
  EXPECT_EQ(read_text(folder / "c/last.safetensors"), last);
  EXPECT_EQ(read_text(folder / "c/results.md"), read_text(a + "/results.md"));
}

// In one go the learning rate would have been another.
TEST(Resume, ARunThatWasMadeLongerSaysSoInItsConfig) {
  const TemporaryFolder folder;
  const std::string run = folder / "run", config = run + "/config.toml";
  ASSERT_EQ(run_patchcl(small(run, kPhantom + "--iters 2 --val-every 0")).code, 0);
  EXPECT_FALSE(contains(read_text(config), "#")) << "a run in one go has no remark";
  for (const char* more : {"--extend 3", "--extend 1", ""}) {
    const Outcome o = run_patchcl("train --resume " + run + " " + more);
    ASSERT_EQ(o.code, 0) << o.output;
  }
  EXPECT_TRUE(read_text(config).starts_with("# 2 steps, then 3 more with --extend; in one go"))
      << read_text(config);
  EXPECT_TRUE(contains(read_text(config), "\n# 5 steps, then 1 more with --extend; in one go"));
  const Outcome o = run_patchcl("train --config " + config + " --out " + folder / "again");
  EXPECT_EQ(o.code, 0) << o.output;
  EXPECT_FALSE(contains(read_text(folder / "again/config.toml"), "#"));
}

class LabeledList : public testing::Test {
 protected:
  // The second of five pictures has its label read; the last is held out.
  void SetUp() override {
    write_tiles(data_);
    write_file(list_, "\xEF\xBB\xBFtile_1\r\n");
    const Outcome o = run_patchcl(small(run_, "--data " + data_ + " --labeled " + list_ + " --iters 1"));
    ASSERT_EQ(o.code, 0) << o.output;
    EXPECT_TRUE(contains(o.output, "1 of them labelled")) << o.output;
  }
  const TemporaryFolder folder_;
  const std::string data_ = folder_ / "data", list_ = folder_ / "names.txt", run_ = folder_ / "run";
};

TEST_F(LabeledList, LiesInTheRunWhichGoesOnWithoutTheFile) {
  fs::remove(list_);
  fs::rename(data_, folder_ / "moved");
  const std::string moved = " --data " + folder_ / "moved";
  for (const std::string& command :
      {"explain " + run_ + " --html " + folder_ / "x.html", "train --resume " + run_ + " --extend 1"}) {
    const Outcome gone = run_patchcl(command);
    EXPECT_EQ(gone.code, 3) << gone.output;
    EXPECT_TRUE(contains(gone.output, "say with --data where they lie now")) << gone.output;
    const Outcome o = run_patchcl(command + moved);
    EXPECT_EQ(o.code, 0) << o.output;
  }
  const Outcome copy =
      run_patchcl("train --resume " + run_ + " --extend 1 --out " + folder_ / "copy" + moved);
  EXPECT_EQ(copy.code, 0) << copy.output;
  EXPECT_TRUE(fs::exists(folder_ / "copy/labeled.txt"));
  fs::remove(run_ + "/labeled.txt");  // as of an older program
  const Outcome older = run_patchcl("train --resume " + run_ + " --extend 1" + moved);
  EXPECT_EQ(older.code, 2) << older.output;
  EXPECT_TRUE(contains(older.output, "put the list into the run as " + run_ + "/labeled.txt"))
      << older.output;
}

TEST_F(LabeledList, ThatNamesWhatHasNoLabelToReadSaysWhy) {
  write_tiles(folder_ / "more");
  fs::remove(folder_ / "more/masks/tile_0.png");
  for (const auto& [name, why] :
      {std::pair("tile_1.png", "no case; a line is the name of a case, without folder and ending"),
          {"tile_4", "held out and not trained on"}, {"tile_0", "which has no label"}}) {
    write_file(list_, name);
    const Outcome o =
        run_patchcl(small(folder_ / "new", "--val 1 --data " + folder_ / "more" + " --labeled " + list_));
    EXPECT_EQ(o.code, 2) << o.output;
    EXPECT_TRUE(contains(o.output, why)) << o.output;
  }
}

TEST(Resume, TheFolderOfABareNameIsThisOne) {
  EXPECT_EQ(folder_of("last.safetensors"), ".");
  EXPECT_EQ(folder_of("runs/last.safetensors"), "runs");
}

// A quarter of 20 steps is not a quarter of 40.
TEST(Resume, PreTrainingOfBcpIsAShareOfTheRunAndSoItIsNotExtended) {
  const TemporaryFolder folder;
  ASSERT_EQ(run_patchcl(small(folder / "run", kPhantom + "--method bcp --iters 4 --val-every 0")).code, 0);
  const Outcome o = run_patchcl("train --resume " + folder / "run" + " --extend 4");
  EXPECT_EQ(o.code, 2) << o.output;
  EXPECT_TRUE(contains(o.output, "is a share of its 4 steps")) << o.output;
}

// Whole to its checksum, but with numbers that are none: a file that another program wrote.
TEST(Resume, ACheckpointThatSaysNoNumbersIsExitCode6) {
  const TemporaryFolder folder;
  const std::string run = folder / "run", last = run + "/last.safetensors";
  ASSERT_EQ(run_patchcl(small(run, kPhantom + "--iters 2 --val-every 0")).code, 0);
  const TensorFile whole = load_tensors(last, Arena("test"));
  const std::string config = whole.metadata.at("config");
  const auto expect_damaged = [&](const std::string& key, const std::string& value, const char* said,
                                  const std::vector<std::string>& commands) {
    TensorFile file = whole;
    file.metadata[key] = value;
    save_tensors(last, file);
    for (const std::string& command : commands) {
      const Outcome o = run_patchcl(command + " " + run);
      EXPECT_EQ(o.code, 6) << command << ": " << o.output;
      EXPECT_TRUE(contains(o.output, said)) << command << ": " << o.output;
    }
  };
  const std::vector<std::string> resume{"train --extend 1 --resume"}, both{resume[0], "audit run"};
  expect_damaged("iteration", "2 or so", "its step is '2 or so', which is no number", both);
  expect_damaged("iteration", "-1", "it is of step -1", both);
  expect_damaged("best_dice", "good", "its best score is 'good', which is no number", resume);
  const size_t steps = config.find("iters=2\n");
  ASSERT_NE(steps, std::string::npos) << config;
  expect_damaged("config", std::string(config).erase(steps, 8), "its number of steps is ''", resume);
  expect_damaged("config", config + "[section]\n", "cannot be read", both);
}

TEST(Toml, TextsComeBackWhateverTheyHold) {
  const std::vector<std::string> texts{"^([a-z_]+\\d+)\"?", "a#b", "it's", "#", "tab\tand\nline", "naïve/π",
      "1", "", "\xff\x80x\xc3", "\xed\xa0\x80"};
  for (const std::string& text : texts) {
    const OptionValues values = toml_values("x=" + toml_text(text) + "  # a remark\n");
    EXPECT_EQ(values, (OptionValues{{"x", text}})) << text;
  }
  EXPECT_EQ(toml_values("x=\"a\xff\"\n"), (OptionValues{{"x", "a\xff"}})) << "of an older program";
  EXPECT_EQ(toml_values("a = 1e-05\nb = [16, 32]\nc = true\nd = 3\n"),
      (OptionValues{{"a", "1e-05"}, {"b", "16,32"}, {"c", "true"}, {"d", "3"}}));
}

TEST(Toml, WhatIsNoneIsNamedWithItsLine) {
  for (const auto& [text, said] : {std::pair("a = 1\nb = word\n", "line 2 is no TOML"),
           {"[train]\na = 1\n", "[train] is a section"}, {"a = 2026-11-30\n", "'a' is no text, number"}}) {
    try {
      toml_values(text);
      ADD_FAILURE() << text;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::usage);
      EXPECT_TRUE(contains(e.what(), said)) << e.what();
    }
  }
}

TEST(Toml, ARunOfOddNamesGoesOn) {
  const TemporaryFolder folder;
  const std::string data = folder / "d#2 \"x\"", run = folder / "run";
  const std::string phantom = "phantom:cases=5,val=1,size=16,slices=2";
  ASSERT_EQ(run_patchcl("data convert " + phantom + " '" + data + "' --as png").code, 0);
  const Outcome o = run_patchcl(small(
      run, "--data '" + data + "' --group '^([a-z_]+\"?\\d+)' --iters 2 " + "--seed 18446744073709551615"));
  ASSERT_EQ(o.code, 0) << o.output;
  const Outcome resumed = run_patchcl("train --resume " + run + " --extend 1");
  EXPECT_EQ(resumed.code, 0) << resumed.output;
  const Outcome again = run_patchcl("train --config " + run + "/config.toml --out " + folder / "again");
  EXPECT_EQ(again.code, 0) << again.output;
}

}  // namespace
