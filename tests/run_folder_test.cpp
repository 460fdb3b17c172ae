// What a run folder survives: two processes, kills at bad moments, damaged files, another CPU, a longer run.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "tensor/file.h"
#include "tensor/io.h"
#include "tests/command_line.h"
#include "tests/small_data.h"
#include "tests/training_runs.h"
#include "train/loop/run_lock.h"
#include "train/loop/run_log.h"

using namespace patchcl;
using namespace patchcl::test;
namespace fs = std::filesystem;

namespace {

// A run that another process trains, until it is destroyed.
class RunningTraining {
 public:
  explicit RunningTraining(const std::string& run, const std::string& more = "") : pid_(fork()) {
    if (pid_ == 0) {
      signal(SIGHUP, SIG_DFL);
      const std::string command = "exec build/patchcl " + short_run(run, 100000, more) + " > /dev/null 2>&1";
      execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
      _exit(127);
    }
    for (int i = 0; i < 6000 && !has_row(run); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  RunningTraining(const RunningTraining&) = delete;
  ~RunningTraining() {
    if (pid_ > 0) stop(SIGKILL);
  }
  pid_t pid() const { return pid_; }
  int stop(int sig) {
    kill(pid_, sig);
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

 private:
  static bool has_row(const std::string& run) {
    return fs::exists(run + "/metrics.csv") && fs::file_size(run + "/metrics.csv") > 100;
  }
  pid_t pid_;
};

std::map<std::string, std::string> files_of(const std::string& folder) {
  std::map<std::string, std::string> files;
  for (const auto& f : fs::recursive_directory_iterator(folder))
    if (f.is_regular_file()) files[fs::relative(f.path(), folder)] = read_text(f.path());
  return files;
}

// What equal runs have equal: everything but how they were called.
void expect_equal_runs(const std::string& a, const std::string& b) {
  for (const char* name : {"metrics.jsonl", "metrics.csv", "best.safetensors", "best.json", "results.json"})
    EXPECT_EQ(read_text(a + "/" + name), read_text(b + "/" + name)) << name;
  const TensorFile x = load_tensors(a + "/last.safetensors", Arena("test")),
                   y = load_tensors(b + "/last.safetensors", Arena("test"));
  ASSERT_EQ(x.tensors.size(), y.tensors.size());
  for (const auto& [name, t] : x.tensors)
    EXPECT_EQ(std::memcmp(t.raw(), y.tensors.at(name).raw(), t.bytes()), 0) << name;
}

TEST(RunFolder, IsOneProcessesAtATime) {
  TemporaryFolder folder;
  const std::string run = folder / "run";
  RunningTraining first(run, "--val-every 1");
  const std::string pid = std::to_string(first.pid());
  for (const std::string& second : {"train --resume " + run, short_run(run, 5)}) {
    const Outcome o = run_patchcl(second);
    EXPECT_EQ(o.code, 2) << o.output;
    EXPECT_TRUE(contains(o.output, "in use by process " + pid)) << o.output;
  }
  EXPECT_EQ(first.stop(SIGKILL), -SIGKILL);
  EXPECT_NO_THROW(RunLock{run}) << "the lock of a process that was killed";
}

TEST(RunFolder, ATerminalThatClosesStopsWithACheckpoint) {
  TemporaryFolder folder;
  RunningTraining training(folder / "run", "--val-every 0");
  EXPECT_EQ(training.stop(SIGHUP), 9);
  EXPECT_TRUE(fs::exists(folder / "run/last.safetensors"));
}

TEST(RunFolder, NohupIsHeeded) {
  TemporaryFolder folder;
  const std::string run = folder / "run";
  const std::string command = "(trap '' HUP; build/patchcl " + short_run(run, 40) +
                              " > /dev/null & job=$!; " + "while [ ! -s " + run +
                              "/metrics.csv ]; do sleep 0.01; done; " + "kill -HUP $job; wait $job)";
  EXPECT_EQ(WEXITSTATUS(std::system(command.c_str())), 0);
}

// Every step validates, so the one in which the signal comes does too.
TEST(RunFolder, AStopInAStepThatValidatesLosesNoValidation) {
  TemporaryFolder folder;
  const std::string one = folder / "one", two = folder / "two";
  {
    RunningTraining training(two, "--val-every 1");
    ASSERT_EQ(training.stop(SIGTERM), 9);
  }
  const int64_t done =
      std::stoll(load_tensors(two + "/last.safetensors", Arena("test")).metadata.at("iteration"));
  std::istringstream rows(read_text(two + "/metrics.jsonl"));
  int64_t validations = 0;
  for (std::string row; std::getline(rows, row);) validations += contains(row, "validation");
  EXPECT_EQ(validations, done);
}

TEST(RunFolder, ALogIsCutToTheCheckpointAndLosesNothingElse) {
  TemporaryFolder folder;
  const std::string log = folder / "log";
  const std::string kept = "{\"checks\":[{\"iteration\":9}],\"iteration\":2}\n{\"iteration\":3,\"loss\":1}\n";
  write_text(log, kept + "{\"iteration\":4}\n{\"iteration\":1");  // the last line is a part of 12
  cut_log(log, 3);
  EXPECT_EQ(read_text(log), kept);
  const auto written = fs::last_write_time(log);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  cut_log(log, 3);
  EXPECT_EQ(fs::last_write_time(log), written) << "rewritten without a change";
  fs::remove(log);
  fs::create_directory(log);  // what cannot be read is not emptied
  EXPECT_THROW(cut_log(log, 3), Error);
}

TEST(RunFolder, AResumeLeavesNoRowOfTheAuditTwice) {
  TemporaryFolder folder;
  const std::string one = folder / "one", two = folder / "two";
  ASSERT_EQ(run_patchcl(short_run(one, 4, "--audit-every 1 --val-every 2")).code, 0);
  fs::copy(one, two, fs::copy_options::recursive);
  fs::rename(two + "/last.1.safetensors", two + "/last.safetensors");  // as a kill after step 3 leaves it
  const Outcome o = run_patchcl("train --resume " + two);
  ASSERT_EQ(o.code, 0) << o.output;
  EXPECT_EQ(read_text(one + "/audit.jsonl"), read_text(two + "/audit.jsonl"));
  expect_equal_runs(one, two);
}

TEST(RunFolder, ADamagedConfigIsReplacedByTheCheckpoints) {
  TemporaryFolder folder;
  const std::string one = folder / "one", two = folder / "two";
  ASSERT_EQ(run_patchcl(short_run(one, 4, "--method mean-teacher --val-every 2")).code, 0);
  const std::string config = read_text(one + "/config.toml");
  for (const std::string& damaged : {std::string(), config.substr(0, config.size() / 2), config + "[[["}) {
    fs::remove_all(two);
    fs::copy(one, two, fs::copy_options::recursive);
    fs::rename(two + "/last.1.safetensors", two + "/last.safetensors");
    write_text(two + "/config.toml", damaged);
    const Outcome o = run_patchcl("train --resume " + two);
    ASSERT_EQ(o.code, 0) << o.output;
    std::string wanted = config;
    EXPECT_EQ(read_text(two + "/config.toml"), wanted.replace(wanted.find(one), one.size(), two)) << o.output;
    expect_equal_runs(one, two);
  }
}

// As of a program that did not know them yet: neither file names them. Another was a flag in it.
TEST(RunFolder, OptionsThatARunIsOlderThanAreNamedOnce) {
  TemporaryFolder folder;
  const std::string one = folder / "one", two = folder / "two";
  ASSERT_EQ(run_patchcl(short_run(one, 4, "--method mean-teacher --val-every 2")).code, 0);
  fs::copy(one, two, fs::copy_options::recursive);
  const auto older = [](std::string config) {
    for (const std::string line : {"whole-share=0\n", "full-warm-up=false\n"}) {
      const size_t at = config.find(line);
      EXPECT_NE(at, std::string::npos) << line;
      config.erase(at, line.size());
    }
    const std::string word = "teacher-dropout=\"true\"";
    const size_t at = config.find(word);
    EXPECT_NE(at, std::string::npos);
    return config.replace(at, word.size(), "teacher-dropout=true");
  };
  write_text(two + "/config.toml", older(read_text(two + "/config.toml")));
  const Arena arena("test");
  TensorFile last = load_tensors(two + "/last.1.safetensors", arena);
  last.metadata["config"] = older(last.metadata["config"]);
  save_tensors(two + "/last.safetensors", last);
  const Outcome o = run_patchcl("train --resume " + two);
  ASSERT_EQ(o.code, 0) << o.output;
  const std::string note = "is of an older program: --whole-share, --full-warm-up as they are by default";
  const size_t at = o.output.find(note);
  ASSERT_NE(at, std::string::npos) << o.output;
  EXPECT_EQ(o.output.find(note, at + 1), std::string::npos) << o.output;
  EXPECT_FALSE(contains(o.output, "damaged")) << o.output;
  EXPECT_TRUE(contains(o.output, "goes on at step 2 of 4\n")) << o.output;
  expect_equal_runs(one, two);
}

TEST(RunFolder, WithoutHeldOutCasesSaysSoAndServesItsLastWeights) {
  TemporaryFolder folder;
  const std::string run = folder / "run";
  const Outcome o = run_patchcl(
      "train --data phantom:cases=2,val=1,size=32,slices=2 --val 0 --size 16 --batch 2 "
      "--widths 2,4 --dropout 0,0.1 --threads 1 --device cpu --iters 2 --out " +
      run);
  ASSERT_EQ(o.code, 0) << o.output;
  EXPECT_TRUE(contains(o.output, "nothing to validate on; --val N holds cases out")) << o.output;
  EXPECT_TRUE(fs::exists(run + "/report.html"));
  EXPECT_FALSE(fs::exists(run + "/best.safetensors"));
  const std::string eval =
      "eval --threads 1 --data phantom:cases=2,val=1,size=32,slices=2 --val 1 --weights " + run;
  const Outcome scored = run_patchcl(eval), same = run_patchcl(eval + "/last.safetensors");
  EXPECT_EQ(scored.code, 0) << scored.output;
  EXPECT_TRUE(contains(scored.output, "its last weights are taken")) << scored.output;
  EXPECT_TRUE(contains(scored.output, same.output.substr(same.output.find("mean of"), 100))) << same.output;
  fs::remove(run + "/report.html");  // a kill may come before it
  EXPECT_EQ(run_patchcl("train --resume " + run).code, 0);
  EXPECT_TRUE(fs::exists(run + "/report.html"));
  EXPECT_TRUE(contains(run_patchcl("train --resume " + run).output, "finished already"));
}

// A method whose first phases grow with the run.
TEST(RunFolder, HelpOfExtendNamesThoseThatRefuse) {
  const std::string help = run_patchcl("train --help").output;
  const size_t begin = help.find("Refused where"), end = help.find("--allow-other-bits");
  ASSERT_TRUE(begin < end && end != std::string::npos) << help;
  EXPECT_FALSE(contains(help, "acdc7 --extend"));
  for (const std::string& name : program_methods()) {
    RunShape shape{.iterations = 100, .batch = 4};
    const auto first = [&] {
      const std::unique_ptr<Method> method = make_method(name);
      method->resolve(shape);
      const std::vector<Phase> phases = method->phases(shape);
      return phases.size() > 1 ? phases[0].iterations : 0;
    };
    const int64_t before = first();
    shape.iterations = 200;
    EXPECT_EQ(first() != before, help.substr(begin, end - begin).find(name) != std::string::npos) << name;
  }
}

TEST(RunFolder, AnExtendedRunIsTheLongerOneFromThereOn) {
  TemporaryFolder folder;
  const std::string one = folder / "one", two = folder / "two";
  const std::string constant = "--schedule constant --val-every 2";  // no number depends on the length
  ASSERT_EQ(run_patchcl(short_run(one, 6, constant)).code, 0);
  ASSERT_EQ(run_patchcl(short_run(two, 4, constant)).code, 0);
  const Outcome o = run_patchcl("train --resume " + two + " --extend 2");
  ASSERT_EQ(o.code, 0) << o.output;
  EXPECT_TRUE(contains(o.output, "6 steps in all")) << o.output;
  expect_equal_runs(one, two);
  EXPECT_TRUE(contains(run_patchcl("train --resume " + two).output, "finished already"));
  EXPECT_EQ(run_patchcl(short_run(folder / "new", 4, "--extend 2")).code, 2);
}

TEST(RunFolder, ARunWhosePhasesAreSharesOfItsLengthIsNotExtended) {
  TemporaryFolder folder;
  const std::string run = folder / "run";
  ASSERT_EQ(run_patchcl(short_run(run, 4, "--method mean-teacher --warm-up 0.5")).code, 0);
  const auto before = files_of(run);
  const Outcome o = run_patchcl("train --resume " + run + " --extend 4");
  EXPECT_EQ(o.code, 2) << o.output;
  EXPECT_TRUE(contains(o.output, "warm-up")) << o.output;
  EXPECT_EQ(files_of(run), before);
}

TEST(RunFolder, ACpuThatRoundsOtherwiseIsRefusedUnlessAllowed) {
  TemporaryFolder folder;
  const std::string run = folder / "run";
  ASSERT_EQ(run_patchcl(short_run(run, 4), "PATCHCL_ISA=plain").code, 0);
  const std::string longer = "train --resume " + run + " --extend 1";
  TensorFile last = load_tensors(run + "/last.safetensors", Arena("test"));
  EXPECT_EQ(last.metadata.at("instructions"), "plain");
  last.metadata["instructions"] = "another";
  save_tensors(run + "/last.safetensors", last);
  const Outcome refused = run_patchcl(longer, "PATCHCL_ISA=plain");
  EXPECT_EQ(refused.code, 6) << refused.output;
  EXPECT_TRUE(contains(refused.output, "--allow-other-bits")) << refused.output;
  EXPECT_EQ(run_patchcl(longer + " --allow-other-bits", "PATCHCL_ISA=plain").code, 0);
}

// One letter of the header that no size depends on.
TEST(RunFolder, AnEditedIterationIsADamagedCheckpoint) {
  TemporaryFolder folder;
  const std::string run = folder / "run", last = run + "/last.safetensors";
  ASSERT_EQ(run_patchcl(short_run(run, 4)).code, 0);
  const std::string whole = read_text(last);
  for (const std::string part :
      {"\"iteration\":\"4\"", "\"best_iteration\":\"", "\"layout\":\"2\"", "\"checksum\"", "momentum=0.9"}) {
    std::string edited = whole;
    const size_t at = edited.find(part);
    ASSERT_NE(at, std::string::npos) << part;
    edited[at + part.size() - 2] ^= 1;
    write_text(last, edited);
    EXPECT_THROW(load_tensors(last, Arena("test")), Error) << part;
  }
  write_text(last, whole);
  EXPECT_NO_THROW(load_tensors(last, Arena("test")));
}

TEST(RunFolder, AFileOfTheLayoutBeforeIsStillRead) {
  TemporaryFolder folder;
  // One number, 1.0f, with the checksum of its data alone.
  const std::string header = R"({"__metadata__":{"checksum":"4b72477f9c5c2f98"},"x":{"data_offsets":[0,4],)"
                             R"("dtype":"F32","shape":[1]}})";
  const uint64_t size = header.size();
  const float one = 1;
  std::string file(8, '\0');
  std::memcpy(file.data(), &size, 8);
  file += header + std::string(4, '\0');
  std::memcpy(file.data() + file.size() - 4, &one, 4);
  write_text(folder / "old.safetensors", file);
  EXPECT_EQ(load_tensors(folder / "old.safetensors", Arena("test")).tensors.at("x").item(), 1);
  file.back() ^= 1;
  write_text(folder / "old.safetensors", file);
  EXPECT_THROW(load_tensors(folder / "old.safetensors", Arena("test")), Error);
}

TEST(RunFolder, AnAuditFindsDataThatHasMoved) {
  TemporaryFolder folder;
  write_tiles(folder / "tiles", 32, 32);
  const std::string run = folder / "run";
  ASSERT_EQ(run_patchcl("train --data " + (folder / "tiles") +
                        " --size 16 --batch 2 --widths 2,4 --dropout "
                        "0,0.1 --threads 1 --device cpu --iters 1 --out " +
                        run)
                .code,
      0);
  fs::rename(folder / "tiles", folder / "moved");
  EXPECT_EQ(run_patchcl("audit run " + run).code, 3);
  const Outcome o = run_patchcl("audit run " + run + " --data " + (folder / "moved"));
  EXPECT_EQ(o.code, 0) << o.output;
  EXPECT_EQ(run_patchcl("audit run " + run + " --data phantom").code, 6);
}

}  // namespace
