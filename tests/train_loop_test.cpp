// The training loop as a user meets it: exact resume, signals, damaged checkpoints, full disks, values that
// are not finite.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "tensor/file.h"
#include "tensor/io.h"
#include "tests/command_line.h"
#include "tests/small_data.h"
#include "tests/training_runs.h"
#include "train/setup/run_record.h"

using namespace patchcl;
using namespace patchcl::test;

namespace {

constexpr int kLong =
    120;  // steps: a signal sent near the beginning arrives before the end, also on a busy machine

// Options of a run that takes a second: a small network on small hearts.
std::string options(const std::string& method, int iterations, const std::string& more = "") {
  return "train --data phantom:cases=4,val=1,size=32,slices=3 --labeled 2 --size 32 --batch 4 --widths 4 8 "
         "--dropout 0.1 0.2"
         " --val-every 20 --log-every 1 --seed 5 --method " +
         method + if_read(method, "queue-ready", "8") + " --iters " + std::to_string(iterations) + " " + more;
}

class EveryTraining : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(
    TrainLoop, EveryTraining, testing::ValuesIn(program_methods()), [](const auto& info) {
      std::string n = info.param;
      std::erase(n, '-');
      return n;
    });

// Every step has its cost in the record, whichever process took it.
void expect_costs_of(int steps, const std::string& run) {
  int recorded = 0;
  for (const auto& process : nlohmann::json::parse(read_text(run + "/run.json"))) {
    recorded += process.at("steps").get<int>();
    EXPECT_GT(process.at("cpu_seconds").get<double>(), 0);
  }
  EXPECT_EQ(recorded, steps);
  EXPECT_GT(recorded_step_seconds(run), 0);
}

// Stopped at this iteration by a signal, and gone on with.
void expect_as_in_one_go(const std::string& method, int iteration, const std::string& more) {
  TemporaryFolder folder;
  const std::string one = folder / "one", two = folder / "two";
  ASSERT_EQ(run_patchcl(options(method, kLong, "--threads 1 " + more + " --out " + one)).code, 0);
  const std::string again = options(method, kLong, "--threads 1 " + more + " --out " + two);
  EXPECT_EQ(interrupt_at(iteration, SIGTERM, again, two), 9);
  const Outcome resumed = run_patchcl("train --resume " + two);
  ASSERT_EQ(resumed.code, 0) << resumed.output;
  expect_equal_checkpoints(one + "/last.safetensors", two + "/last.safetensors");
  EXPECT_EQ(read_text(one + "/metrics.csv"), read_text(two + "/metrics.csv"));
  EXPECT_EQ(read_text(one + "/metrics.jsonl"), read_text(two + "/metrics.jsonl"));
  expect_costs_of(kLong, two);
}

// Records of older programs, or of none, tell no cost and stop nothing.
TEST(TrainLoop, TheCostOfAStepIsUnknownWhereNoRecordTells) {
  TemporaryFolder folder;
  EXPECT_TRUE(std::isnan(recorded_step_seconds(folder / "")));
  for (const char* record : {"", "[", "{}", "[]", "[1]", "[{\"steps\":2}]",
           "[{\"steps\":\"x\",\"cpu_seconds\":1}]", "[{\"steps\":0,\"cpu_seconds\":1}]"}) {
    write_text(folder / "run.json", record);
    EXPECT_TRUE(std::isnan(recorded_step_seconds(folder / ""))) << record;
  }
  write_text(folder / "run.json", "[{\"steps\":1,\"cpu_seconds\":2},{},{\"steps\":3,\"cpu_seconds\":4}]");
  EXPECT_EQ(recorded_step_seconds(folder / ""), 1.5);
}

TEST_P(EveryTraining, StoppedByASignalAndResumedIsBitEqualToOneGo) {
  expect_as_in_one_go(GetParam(), 15, "");
}

TEST_P(EveryTraining, StoppedOnWholeImagesBehindWindowsAndResumedIsBitEqualToOneGo) {
  expect_as_in_one_go(GetParam(), 55, "--window 16 --whole-share 0.6");
}

TEST(TrainLoop, AFinishedRunThatIsResumedChangesNothing) {
  TemporaryFolder folder;
  const std::string run = folder / "run";
  ASSERT_EQ(run_patchcl(options("patchcl", 6, "--threads 1 --out " + run)).code, 0);
  std::map<std::string, std::string> before;
  for (const auto& f : std::filesystem::recursive_directory_iterator(run))
    if (f.is_regular_file()) before[f.path()] = read_text(f.path());
  const Outcome o = run_patchcl("train --resume " + run);
  EXPECT_EQ(o.code, 0);
  EXPECT_TRUE(contains(o.output, "finished already")) << o.output;
  for (const auto& [path, text] : before) EXPECT_EQ(read_text(path), text) << path;
  // Killed between the last checkpoint and the results: these are made up for, the same.
  std::filesystem::remove(run + "/results.json");
  std::filesystem::remove(run + "/results.md");
  EXPECT_EQ(run_patchcl("train --resume " + run).code, 0);
  for (const auto& [path, text] : before) EXPECT_EQ(read_text(path), text) << path;
}

TEST(TrainLoop, AResumeRefusesOptionsOfItsOwn) {
  TemporaryFolder folder;
  const std::string run = folder / "run";
  ASSERT_EQ(run_patchcl(options("supervised", 2, "--out " + run)).code, 0);
  const Outcome o = run_patchcl("train --resume " + run + " --iters 9");
  EXPECT_EQ(o.code, 2);
  EXPECT_TRUE(contains(o.output, "--iters cannot be changed")) << o.output;
}

TEST_P(EveryTraining, WritesWhatRan) {
  TemporaryFolder folder;
  const std::string run = folder / "run";
  ASSERT_EQ(run_patchcl(options(GetParam(), 2, "--out " + run)).code, 0);
  std::ifstream config(run + "/config.toml");
  std::set<std::string> keys;
  for (std::string line; std::getline(config, line);) {
    const size_t at = line.find('=');
    ASSERT_NE(at, std::string::npos) << line;
    const std::string value = line.substr(at + 1);
    EXPECT_TRUE(value != "" && value != "\"\"" && value != "[]") << line;
    keys.insert(line.substr(0, at));
    if (line.starts_with("threads=") || line.starts_with("patch-side=") ||
        line.starts_with("labeled-batch=")) {
      EXPECT_NE(value, "0") << line;
    }
    EXPECT_NE(line, "device=\"auto\"");
  }
  for (const std::string& option : make_method(GetParam())->options().names())
    EXPECT_TRUE(keys.contains(option)) << option;
  // The same file trains the same run.
  ASSERT_EQ(run_patchcl("train --config " + run + "/config.toml --out " + (folder / "again")).code, 0);
  expect_equal_checkpoints(run + "/last.safetensors", folder / "again/last.safetensors");
  const std::string record = read_text(run + "/run.json");
  for (const char* key : {"version", "commit", "compiler", "command", "data_fingerprint"})
    EXPECT_TRUE(contains(record, std::string("\"") + key + "\"")) << record;
}

TEST(TrainLoop, TheTableOfMetricsHasACellForEachColumnInEachRow) {
  TemporaryFolder folder;
  ASSERT_EQ(run_patchcl(options("patchcl", 12, "--warm-up 0.5 --out " + (folder / "run"))).code, 0);
  std::istringstream table(read_text(folder / "run/metrics.csv"));
  std::string header, row;
  std::getline(table, header);
  EXPECT_TRUE(contains(header, "consistency")) << header;
  EXPECT_TRUE(contains(header, ",validation_dice,validation_dice_RV,")) << header;
  int rows = 0;
  for (; std::getline(table, row); ++rows)
    EXPECT_EQ(std::count(row.begin(), row.end(), ','), std::count(header.begin(), header.end(), ',')) << row;
  EXPECT_EQ(rows, 12 + 1);  // the validation at the end
}

TEST_P(EveryTraining, GivesTheSameBitsForAnyNumberOfThreads) {
  TemporaryFolder folder;
  for (const char* threads : {"1", "2", "3"})
    ASSERT_EQ(run_patchcl(options(GetParam(), 12,
                              std::string("--threads ") + threads + " --out " + (folder / threads)))
                  .code,
        0);
  expect_equal_checkpoints(folder / "1/last.safetensors", folder / "2/last.safetensors");
  expect_equal_checkpoints(folder / "1/last.safetensors", folder / "3/last.safetensors");
}

TEST_P(EveryTraining, RunsInDoublePrecision) {
  TemporaryFolder folder;
  const std::string run = folder / "run";
  const Outcome o = run_patchcl(options(GetParam(), 6, "--dtype f64 --threads 1 --out " + run));
  ASSERT_EQ(o.code, 0) << o.output;
  const Arena memory("test");
  const TensorFile file = load_tensors(run + "/last.safetensors", memory);
  EXPECT_EQ(file.tensors.at("encoder.in_conv.conv_conv.0.weight").dtype(), DType::f64);
}

TEST(TrainLoop, InterruptWritesACheckpointAndAHint) {
  TemporaryFolder folder;
  const std::string run = folder / "run";
  EXPECT_EQ(interrupt_at(3, SIGINT, options("supervised", 5000, "--threads 1 --out " + run), run), 9);
  EXPECT_NO_THROW(load_tensors(run + "/last.safetensors", Arena("test")));
}

TEST(TrainLoop, ADamagedCheckpointIsRefusedByNameAndThePreviousOneGoesOn) {
  TemporaryFolder folder;
  const std::string run = folder / "run", one = folder / "one";
  ASSERT_EQ(run_patchcl(options("patchcl", kLong, "--threads 1 --out " + one)).code, 0);
  ASSERT_EQ(interrupt_at(22, SIGTERM, options("patchcl", kLong, "--threads 1 --out " + run), run), 9);
  std::fstream(run + "/last.safetensors", std::ios::in | std::ios::out | std::ios::binary)
      .seekp(-100, std::ios::end)
      .put('\x5a');
  const Outcome damaged = run_patchcl("train --resume " + run);
  EXPECT_EQ(damaged.code, 6);
  EXPECT_TRUE(contains(damaged.output, run + "/last.safetensors")) << damaged.output;
  EXPECT_TRUE(contains(damaged.output, "last.1.safetensors")) << damaged.output;
  const Outcome previous = run_patchcl("train --resume " + run + "/last.1.safetensors");
  EXPECT_EQ(previous.code, 0) << previous.output;
  expect_equal_checkpoints(one + "/last.safetensors", run + "/last.safetensors");
  truncate_file(run + "/last.safetensors");
  EXPECT_EQ(run_patchcl("train --resume " + run).code, 6);
}

TEST(TrainLoop, ResumeWithOtherOptionsNamesThem) {
  TemporaryFolder folder;
  const std::string run = folder / "run", other = folder / "other";
  ASSERT_EQ(run_patchcl(options("supervised", 4, "--threads 1 --out " + run)).code, 0);
  std::string config = read_text(run + "/config.toml");
  const size_t at = config.find("momentum=0.9");
  ASSERT_NE(at, std::string::npos);
  write_file(run + "/config.toml", config.replace(at, 12, "momentum=0.8"));
  const Outcome o = run_patchcl("train --resume " + run);
  EXPECT_EQ(o.code, 6);
  EXPECT_TRUE(contains(o.output, "momentum")) << o.output;
}

TEST(TrainLoop, ARunIsNotOverwritten) {
  TemporaryFolder folder;
  const std::string run = folder / "run";
  ASSERT_EQ(run_patchcl(options("supervised", 2, "--out " + run)).code, 0);
  const Outcome o = run_patchcl(options("supervised", 2, "--out " + run));
  EXPECT_EQ(o.code, 2);
  EXPECT_TRUE(contains(o.output, "--resume " + run)) << o.output;
}

TEST(TrainLoop, UnknownOptionsAndKeysAreNamed) {
  TemporaryFolder folder;
  const Outcome option = run_patchcl("train --learning-rate 1");
  EXPECT_EQ(option.code, 2);
  EXPECT_TRUE(contains(option.output, "--learning-rate")) << option.output;
  write_file(folder / "c.toml", "iters=2\nlearning_rate=1\n");
  const Outcome key = run_patchcl("train --config " + (folder / "c.toml") + " --out " + (folder / "run"));
  EXPECT_EQ(key.code, 2);
  EXPECT_TRUE(contains(key.output, "learning_rate")) << key.output;
  const Outcome method = run_patchcl(options("patchcll", 2, "--out " + (folder / "run")));
  EXPECT_EQ(method.code, 2);
  EXPECT_TRUE(contains(method.output, "patchcll")) << method.output;
}

// Steps 1 to 10 of 20 are the warm-up.
TEST(TrainLoop, TheWarmUpIsSupervisedOnlyWhenAskedFor) {
  TemporaryFolder folder;
  const auto contrasts = [&](const std::string& more, const std::string& run) {
    EXPECT_EQ(
        run_patchcl(options("patchcl", 20, "--warm-up 0.5 --queue-ready 2 --out " + run + " " + more)).code,
        0);
    std::vector<bool> seen;
    std::ifstream lines(run + "/metrics.jsonl");
    for (std::string line; std::getline(lines, line);)
      if (contains(line, "\"loss\"")) seen.push_back(contains(line, "\"contrast\""));
    return seen;
  };
  const std::vector<bool> both = contrasts("", folder / "both"),
                          late = contrasts("--warm-up-contrast false", folder / "late");
  ASSERT_EQ(both.size(), 20u);
  ASSERT_EQ(late.size(), 20u);
  EXPECT_TRUE(std::count(both.begin(), both.begin() + 10, true) > 0);
  EXPECT_EQ(std::count(late.begin(), late.begin() + 10, true), 0);
  EXPECT_TRUE(std::count(late.begin() + 10, late.end(), true) > 0);
}

TEST(TrainLoop, WhatDoesNotFitIsRefusedBeforeTheFirstStep) {
  TemporaryFolder folder;
  const Outcome memory =
      run_patchcl(options("supervised", 2, "--batch 10000000 --out " + (folder / "large")));
  EXPECT_EQ(memory.code, 8);
  EXPECT_TRUE(contains(memory.output, "try --batch ")) << memory.output;
  const Outcome graph =
      run_patchcl(options("supervised", 2, "--device cpu --graph true --out " + (folder / "graph")));
  EXPECT_EQ(graph.code, 2);
  EXPECT_TRUE(contains(graph.output, "--graph")) << graph.output;
}

TEST(TrainLoop, AFullDiskIsSaidAndTheLastCheckpointStays) {
  TemporaryFolder folder;
  const std::string run = folder / "run";
  ASSERT_EQ(interrupt_at(12, SIGTERM, options("supervised", kLong, "--threads 1 --out " + run), run), 9);
  const std::string before = read_text(run + "/last.safetensors");
  // No file may grow beyond a few KiB: what a full disk does to the next checkpoint.
  const Outcome full = run_patchcl(
      "--help > /dev/null; (trap '' XFSZ; ulimit -f 8; build/patchcl train --resume " + run + ")");
  EXPECT_EQ(full.code, 4) << full.output;
  EXPECT_TRUE(contains(full.output, "disk")) << full.output;
  EXPECT_EQ(read_text(run + "/last.safetensors"), before);
  EXPECT_EQ(run_patchcl("train --resume " + run).code, 0);
}

TEST(TrainLoop, ANonFiniteLossStopsWithOpTensorAndImages) {
  for (const std::string anomaly : {"false", "true"}) {
    TemporaryFolder folder;
    const std::string run = folder / "run";
    const Outcome o = run_patchcl(
        options("supervised", 40, "--threads 1 --lr 1e30 --anomaly " + anomaly + " --out " + run));
    EXPECT_EQ(o.code, 5) << o.output;
    for (const char* part : {"conv2d", "encoder", "phantom00", "step ",
             "layers/unet.cpp:", "; the last checkpoint is untouched"}) {
      const size_t at = o.output.find(part);
      EXPECT_NE(at, std::string::npos) << part << ": " << o.output;
      const bool said_once = part[0] != ';' || o.output.find(part, at + 1) == std::string::npos;
      EXPECT_TRUE(said_once) << o.output;
    }
  }
}

TEST(TrainLoop, ARecordedStepIsNotCheckedForAnomalies) {
  const Outcome o = run_patchcl(options("supervised", 4, "--anomaly true --graph true"));
  EXPECT_EQ(o.code, 2) << o.output;
  EXPECT_TRUE(contains(o.output, "--anomaly has no effect with --graph")) << o.output;
}

// A resumed run replaces best.safetensors when a validation beats the number in the checkpoint: all digits
// count.
TEST(TrainLoop, ACheckpointHoldsTheBestDiceToTheLastDigit) {
  TemporaryFolder folder;
  const std::string run = folder / "run";
  ASSERT_EQ(run_patchcl(options("supervised", 200, "--lr 0.1 --threads 1 --out " + run)).code, 0);
  const double best = nlohmann::json::parse(read_text(run + "/best.json")).at("mean").at("dice");
  ASSERT_GT(best, 0);
  const TensorFile last = load_tensors(run + "/last.safetensors", Arena("test"));
  EXPECT_EQ(std::stod(last.metadata.at("best_dice")), best);
}

}  // namespace
