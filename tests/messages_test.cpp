// What the program says to people: numbers of things, commands to paste, and mistakes in options by name.
#include <gtest/gtest.h>

#include <filesystem>

#include "data/formats/image.h"
#include "tensor/file.h"
#include "tensor/text.h"
#include "tests/command_line.h"

using namespace patchcl;
using namespace patchcl::test;

namespace {

const std::string kWeights = "--weights weights/acdc-7-base.safetensors ";
const std::string kTrain =
    "train --data phantom:cases=4,val=1,size=32,slices=2 --size 16 --batch 2 --widths 2,4 "
    "--dropout 0,0 --threads 1 --device cpu --val-every 0 --iters 1 ";

void expect_refused(const std::string& command, ExitCode code, const std::string& part) {
  const Outcome o = run_patchcl(command);
  EXPECT_EQ(o.code, int(code)) << command << "\n" << o.output;
  EXPECT_TRUE(contains(o.output, part)) << command << "\n" << o.output;
}

TEST(Messages, OneIsOne) {
  EXPECT_EQ(counted(1, "step"), "1 step");
  EXPECT_EQ(counted(0, "step"), "0 steps");
  EXPECT_EQ(counted(12, "training image"), "12 training images");
  const TemporaryFolder folder;
  const std::vector<uint8_t> mask{0, 1, 1, 0};
  write_png(folder / "a.png", mask.data(), 2, 2, 1);
  const Outcome o = run_patchcl("score " + folder / "a.png " + folder / "a.png");
  EXPECT_TRUE(contains(o.output, "mean of 1 case ")) << o.output;
  const Outcome run = run_patchcl(kTrain + "--out " + folder / "run");
  EXPECT_TRUE(contains(run.output, "1 step of 2 images, ")) << run.output;
}

TEST(Messages, AProposedCommandMayBePasted) {
  EXPECT_EQ(in_shell("runs/a-7.x/best.safetensors"), "runs/a-7.x/best.safetensors");
  EXPECT_EQ(in_shell("eigener Ordner"), "'eigener Ordner'");
  EXPECT_EQ(in_shell(""), "''");
  for (const std::string name : {"two words", "it's $HOME", "`a`;b&c|d", "*", "~", "\\n\"", "Öl", "a\tb"}) {
    FILE* pipe = popen(("printf %s " + in_shell(name)).c_str(), "r");
    char back[64] = {};
    EXPECT_EQ(fread(back, 1, sizeof back - 1, pipe), name.size());
    pclose(pipe);
    EXPECT_EQ(back, name);
  }
  const TemporaryFolder folder;
  const std::string own = folder / "own weights.safetensors";
  std::filesystem::copy_file("weights/acdc-7-base.safetensors", own);
  expect_refused("eval --math int8 --data phantom:cases=2,val=1,size=32 --weights " + in_shell(own),
      ExitCode::usage, "patchcl calibrate --weights '" + own + "' --data");
}

// As eval, predict and calibrate do.
TEST(Messages, ARunBeginsWithTheWeightsOfARunFolder) {
  const TemporaryFolder folder;
  ASSERT_EQ(run_patchcl(kTrain + "--out " + folder / "first").code, 0);
  const Outcome o = run_patchcl(kTrain + "--weights " + folder / "first" + " --out " + folder / "second");
  EXPECT_EQ(o.code, 0) << o.output;
  EXPECT_TRUE(contains(o.output, "tensors from " + folder / "first/best.safetensors")) << o.output;
  const Outcome audit = run_patchcl(
      "audit model --method supervised --tensors 1 --data phantom:cases=4,val=1,size=32,slices=2 --size 16 "
      "--batch 2 --widths 2,4 --weights " +
      folder / "first");
  EXPECT_EQ(audit.code, 0) << audit.output;
}

TEST(Messages, AKeyOfAFileIsNamedWithTheFile) {
  const TemporaryFolder folder;
  const std::string file = folder / "c.toml";
  for (const auto& [text, said] :
      {std::pair("wdths=[2,4]\n", "'wdths' is no option of a file; did you mean 'widths'?"),
          {"iters=1\nresume=\"x\"\n", "'resume' is no option of a file"},
          {"[train]\niters=1\n", "[train] is a section; options stand in none"}}) {
    write_text(file, text);
    expect_refused("train --data phantom --config " + file, ExitCode::usage, file + ": " + said);
  }
}

TEST(Messages, AListOfLabelledCasesThatIsMissingIsSaid) {
  expect_refused("train --data phantom --labeled none.txt", ExitCode::usage,
      "--labeled 'none.txt': there is no such file");
  expect_refused("train --data nowhere --labeled 7x", ExitCode::usage,
      "--labeled '7x': there is no such file; say a count (7), a share (10%)");
}

TEST(Messages, WhatOtherProgramsCallAnOptionIsUnderstood) {
  for (const auto& [theirs, ours] :
      {std::pair("--batch-size 4", "--batch"), {"--batch_size=4", "--batch"}, {"--epochs 3", "--iters"},
          {"--learning-rate 1", "--lr"}, {"--base_lr 1", "--lr"}, {"--max_iterations 9", "--iters"},
          {"--gpu 0", "--device"}, {"--exp x", "--out"}, {"--Val_Every 2", "--val-every"}})
    expect_refused(std::string("train --data phantom ") + theirs, ExitCode::usage,
        std::string("did you mean '") + ours + "'?");
  const TemporaryFolder folder;
  write_text(folder / "c.toml", "base_lr = 0.1\n");
  expect_refused("train --data phantom --config " + folder / "c.toml", ExitCode::usage, "did you mean 'lr'?");
  expect_refused("trian --data phantom", ExitCode::usage, "no command 'trian'; did you mean 'train'?");
  expect_refused("methods PatchCL", ExitCode::usage, "did you mean 'patchcl'?");
  expect_refused("data chek x", ExitCode::usage, "'chek' is no part of patchcl data; did you mean 'check'?");
}

TEST(Messages, NumbersOfTwoFormatsDoNotGoIntoOneFile) {
  for (const std::string file : {"-", "scores"})
    expect_refused("score a.png b.png --json " + file + " --csv " + file, ExitCode::usage,
        std::string("--json and --csv would both write to ") +
            (file == "-" ? "standard output" : "'scores'"));
}

TEST(Messages, AWordTooManyIsNoOption) {
  expect_refused(
      "train --data my data", ExitCode::usage, "'data' is one word too many here; a name with blanks");
  expect_refused(
      "predict " + kWeights + "a.png b.png out", ExitCode::usage, "of several images their folder is named");
}

TEST(Messages, WhatTheParserSaysIsAnErrorToo) {
  for (const char* command : {"eval --math fp16 --weights x --data phantom", "eval --data phantom", "data"}) {
    const Outcome o = run_patchcl(command);
    EXPECT_EQ(o.code, 2) << o.output;
    EXPECT_TRUE(o.output.starts_with("error: [options] ")) << o.output;
  }
}

TEST(Messages, AFolderThatCannotBeReadIsAnErrorOfData) {
  expect_refused("data check " + std::string(300, 'x'), ExitCode::data, "cannot be read: ");
}

// The same words and exit code for every ending that no mask can have, before anything is computed.
TEST(Messages, AMaskHasOneOfFourEndings) {
  const TemporaryFolder folder;
  const std::vector<uint8_t> image(32 * 32);
  write_png(folder / "x.png", image.data(), 32, 32, 1);
  for (const char* name : {"out.jpg", "out.bmp", "out.xyz", "out"})
    expect_refused("predict " + kWeights + folder / "x.png " + folder / name, ExitCode::usage,
        std::string(name) + " has none of the endings .png, .h5, .nii and .nii.gz");
  EXPECT_EQ(run_patchcl("predict --size 32 " + kWeights + folder / "x.png " + folder / "out.PNG").code, 0);
}

TEST(Messages, AnOutputWithoutANameIsAMistake) {
  const TemporaryFolder folder;
  const std::vector<uint8_t> image(32 * 32);
  write_png(folder / "x.png", image.data(), 32, 32, 1);
  const std::string said = "[file] the name of an output is empty";
  expect_refused("predict " + kWeights + folder / "x.png ''", ExitCode::usage, said);
  expect_refused("predict " + kWeights + folder.path() + " ''", ExitCode::usage, said);
}

TEST(Messages, ChoicesAreNames) {
  const std::string help = run_patchcl("data convert --help").output;
  EXPECT_TRUE(contains(help, "--as ssl4mis|nnunet|png REQUIRED")) << help;
  const TemporaryFolder folder;
  const std::string convert = "data convert phantom:cases=2,size=32 " + folder / "out";
  expect_refused(convert + " --as 2", ExitCode::usage, "--as '2' is none of ssl4mis, nnunet, png");
  expect_refused(convert, ExitCode::usage, "--as is required");
}

}  // namespace
