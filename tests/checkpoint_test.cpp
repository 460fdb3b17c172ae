// Checkpoints as a user meets them: when they are written, what takes the place of what, and what is refused.
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <limits>

#include "tensor/file.h"
#include "tensor/io.h"
#include "tests/command_line.h"
#include "tests/training_runs.h"
#include "train/loop/trainer.h"

using namespace patchcl;
using namespace patchcl::test;
namespace fs = std::filesystem;

namespace {

std::string small(const std::string& run, int steps, const std::string& more = "") {
  return short_run(run, steps, "--seed 5 " + more);
}

int64_t iteration_of(const std::string& checkpoint) {
  return std::stoll(load_tensors(checkpoint, Arena("test")).metadata.at("iteration"));
}

// The last that a killed run wrote, while nothing or nobody validates.
TEST(Checkpoints, AKillWithoutValidationsLosesNoMoreThanTheirInterval) {
  for (const std::string without : {"--val-every 0 ", "--val 0 "}) {
    const TemporaryFolder folder;
    const std::string one = folder / "one", two = folder / "two";
    const int steps = 120;
    ASSERT_EQ(run_patchcl(small(one, steps, without + "--checkpoint-every 0")).code, 0);
    EXPECT_FALSE(fs::exists(one + "/last.1.safetensors")) << "but at the end";
    const std::string again = small(two, steps, without + "--checkpoint-every 5");
    ASSERT_EQ(interrupt_at(12, SIGKILL, again, two), -SIGKILL);
    ASSERT_TRUE(fs::exists(two + "/last.safetensors")) << without;
    EXPECT_EQ(iteration_of(two + "/last.safetensors") % 5, 0);
    EXPECT_TRUE(fs::exists(two + "/last.1.safetensors"));
    const patchcl::test::Outcome resumed = run_patchcl("train --resume " + two);
    ASSERT_EQ(resumed.code, 0) << resumed.output;
    expect_equal_checkpoints(one + "/last.safetensors", two + "/last.safetensors");
    for (const char* file : {"/metrics.csv", "/metrics.jsonl"})
      EXPECT_EQ(read_text(one + file), read_text(two + file)) << file;
  }
}

constexpr const char* kConstant = "--schedule constant --val-every 0 --checkpoint-every 2";

TEST(Checkpoints, ADamagedOneDoesNotTakeThePlaceOfTheOneBeforeIt) {
  const TemporaryFolder folder;
  const std::string run = folder / "run", last = run + "/last.safetensors",
                    before = run + "/last.1.safetensors";
  ASSERT_EQ(run_patchcl(small(run, 4, kConstant)).code, 0);
  EXPECT_EQ(iteration_of(before), 2);
  write_text(last, "damaged");
  const patchcl::test::Outcome o = run_patchcl("train --resume " + before);
  ASSERT_EQ(o.code, 0) << o.output;
  EXPECT_EQ(iteration_of(last), 4);
  EXPECT_EQ(iteration_of(before), 2);
  ASSERT_EQ(run_patchcl("train --resume " + run + " --extend 4").code, 0);
  EXPECT_EQ(iteration_of(before), 6) << "one that was read is kept";
}

TEST(Checkpoints, OneThatCannotBeWrittenChangesNone) {
  const TemporaryFolder folder;
  const std::string run = folder / "run";
  ASSERT_EQ(run_patchcl(small(run, 4, kConstant)).code, 0);
  // No file may grow beyond a few KiB: what a full disk does to the next checkpoint.
  const patchcl::test::Outcome full = run_patchcl(
      "--help > /dev/null; (trap '' XFSZ; ulimit -f 8; build/patchcl train --extend 4 --resume " + run + ")");
  EXPECT_EQ(full.code, 4) << full.output;
  EXPECT_EQ(iteration_of(run + "/last.safetensors"), 4);
  EXPECT_EQ(iteration_of(run + "/last.1.safetensors"), 2);
}

// On another disk no second name can be had, and a copy serves.
TEST(Checkpoints, ALinkToAnotherDiskStaysAndTheOneBeforeIsKept) {
  const TemporaryFolder folder;
  const std::string run = folder / "run", last = run + "/last.safetensors",
                    before = run + "/last.1.safetensors";
  ASSERT_EQ(run_patchcl(small(run, 4, kConstant)).code, 0);
  std::string disk = fs::is_directory("/dev/shm") ? "/dev/shm/patchcl_test_XXXXXX" : folder / "disk_XXXXXX";
  ASSERT_NE(mkdtemp(disk.data()), nullptr);
  const std::string target = disk + "/checkpoint";
  fs::copy(last, target);
  fs::remove(last);
  fs::create_symlink(target, last);
  const patchcl::test::Outcome o = run_patchcl("train --extend 4 --resume " + run);
  EXPECT_EQ(o.code, 0) << o.output;
  EXPECT_TRUE(fs::is_symlink(last));
  EXPECT_EQ(iteration_of(target), 8);
  EXPECT_TRUE(fs::is_regular_file(fs::symlink_status(before)));
  EXPECT_EQ(iteration_of(before), 6);
  fs::remove_all(disk);
}

TEST(Checkpoints, TheOneBeforeTheLastIsARunToo) {
  const TemporaryFolder folder;
  const std::string run = folder / "run";
  ASSERT_EQ(run_patchcl(small(run, 4, kConstant)).code, 0);
  fs::remove(run + "/last.safetensors");
  const patchcl::test::Outcome o = run_patchcl(small(run, 4));
  EXPECT_EQ(o.code, 2) << o.output;
  EXPECT_TRUE(contains(o.output, "holds a run already")) << o.output;
  const patchcl::test::Outcome resumed = run_patchcl("train --resume " + run);
  EXPECT_TRUE(contains(resumed.output, "the one before it: --resume " + run + "/last.1")) << resumed.output;
}

// The loss was finite, the step that it made was not.
TEST(Checkpoints, WeightsThatAreNotFiniteAreNeverWritten) {
  for (const auto& [when, said] : {std::pair<std::string, const char*>("--val-every 1", "[segment]"),
           {"--val-every 0 --checkpoint-every 1", "after step 1 '"}}) {
    const TemporaryFolder folder;
    const std::string run = folder / "run";
    const patchcl::test::Outcome o = run_patchcl(small(run, 3, "--lr 1e40 " + when));
    EXPECT_EQ(o.code, 5) << o.output;
    EXPECT_TRUE(contains(o.output, said)) << o.output;
    for (const char* file : {"/best.safetensors", "/best.json", "/last.safetensors"})
      EXPECT_FALSE(fs::exists(run + file)) << when << file;
  }
}

TEST(Checkpoints, WeightsThatAreNotFiniteLeaveTheFilesOfBefore) {
  const TemporaryFolder folder;
  TrainConfig c;
  c.data = "phantom:cases=4,val=1,size=32,slices=2";
  c.size = 16;
  c.batch = 2;
  c.network.widths = {2, 4};
  c.network.dropout = {0, 0};
  c.threads = 1;
  c.iters = 8;
  c.checkpoint_every = 2;
  c.device = DeviceChoice::cpu;
  c.out = folder / "run";
  Trainer training(c);
  training.run(4);
  const std::string last = read_text(c.out + "/last.safetensors"),
                    before = read_text(c.out + "/last.1.safetensors");
  training.learner().student().values().data<float>()[0] = std::numeric_limits<float>::infinity();
  EXPECT_THROW(save_checkpoint(c.out, {}, training.learner(), {}, "", "", true), Error);
  EXPECT_EQ(read_text(c.out + "/last.safetensors"), last);
  EXPECT_EQ(read_text(c.out + "/last.1.safetensors"), before);
}

// A run that was killed between its first best weights and its first checkpoint leaves such a folder.
TEST(Checkpoints, ANewRunStartsFromNoBestWeightsOfAnOlderOne) {
  for (const std::string validation : {"--val-every 1", "--val 0"}) {
    const TemporaryFolder folder;
    const std::string used = folder / "used", fresh = folder / "fresh";
    const std::string bcp = "--batch 4 --method bcp ";
    ASSERT_EQ(run_patchcl(small(used, 4, bcp + "--val-every 1 --lr 0.02")).code, 0);
    EXPECT_TRUE(fs::exists(used + "/best-pre-training.safetensors"));
    for (const char* file : {"/last.safetensors", "/last.1.safetensors"}) fs::remove(used + file);
    for (const std::string& run : {used, fresh}) {
      const patchcl::test::Outcome o = run_patchcl(small(run, 4, bcp + validation));
      ASSERT_EQ(o.code, 0) << o.output;
      EXPECT_EQ(contains(o.output, "from the last weights"), validation == "--val 0") << o.output;
    }
    expect_equal_checkpoints(used + "/last.safetensors", fresh + "/last.safetensors");
    EXPECT_EQ(fs::exists(used + "/best.safetensors"), fs::exists(fresh + "/best.safetensors"));
  }
}

// With a checksum that is right: made by hand, or by another program.
TEST(Checkpoints, NumbersThatNoRunHasAreRefused) {
  const TemporaryFolder folder;
  const std::string run = folder / "run", last = run + "/last.safetensors";
  ASSERT_EQ(run_patchcl(small(run, 4, kConstant)).code, 0);
  const TensorFile whole = load_tensors(last, Arena("test"));
  for (const auto& [key, value] :
      {std::pair("iteration", "-5"), {"iteration", "100000"}, {"iteration", "1e3"}, {"iteration", ""},
          {"iteration", "99999999999999999999"}, {"best_iteration", "-1"}, {"best_iteration", "5"},
          {"best_iteration", "2 "}, {"best_dice", "nan"}, {"best_dice", "inf"}, {"best_dice", "0.5x"}}) {
    TensorFile edited = whole;
    edited.metadata[key] = value;
    save_tensors(last, edited);
    for (const char* command : {"train --extend 2 --resume ", "audit run ", "explain "}) {
      const patchcl::test::Outcome o = run_patchcl(command + run);
      EXPECT_EQ(o.code, 6) << command << key << '=' << value << ": " << o.output;
      EXPECT_TRUE(contains(o.output, "is damaged")) << o.output;
    }
  }
}

}  // namespace
