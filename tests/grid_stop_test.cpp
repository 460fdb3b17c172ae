// A grid that is stopped stops its runs, and goes on where they were; two do not share a folder.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "tensor/file.h"
#include "tests/command_line.h"

using namespace patchcl;
using namespace patchcl::test;
namespace fs = std::filesystem;

namespace {

std::string plan(int iterations) {
  const std::string data = "--data phantom:cases=4,val=1,size=32,slices=2 --threads 1 ";
  return "labeled 2\nseeds 1 2\ntrain " + data +
         "--size 16 --batch 2 --widths 2,4 --dropout 0,0.1 --device cpu --iters " +
         std::to_string(iterations) + "\neval " + data + "\nvariant a\n";
}

template <class F> bool comes_true(F&& condition) {
  for (int i = 0; i < 6000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return false;
}

// A grid in a group of processes of its own.
pid_t start(const std::string& command, const std::string& log) {
  const pid_t grid = fork();
  if (grid != 0) return grid;
  setpgid(0, 0);
  const std::string line = "exec build/patchcl " + command + " >> " + log + " 2>&1";
  execl("/bin/sh", "sh", "-c", line.c_str(), nullptr);
  _exit(127);
}
// Its exit code; `to`: the process, or with a minus its group.
int stop(pid_t grid, pid_t to) {
  kill(to, SIGTERM);
  int status = 0;
  waitpid(grid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

TEST(GridStop, ASignalStopsTheRunsAndTheSameCommandGoesOn) {
  const TemporaryFolder folder;
  const std::string runs = folder / "runs", log = folder / "log",
                    command = "grid " + folder / "p.plan" + " --out " + runs;
  write_text(folder / "p.plan", plan(1000000));
  const std::string cell = runs + "/a/labeled-2/seed-1", rows = cell + "/metrics.jsonl";
  const auto trains = [&](size_t more) {
    return comes_true([&] { return fs::exists(rows) && fs::file_size(rows) > more; });
  };
  pid_t grid = start(command, log);
  EXPECT_TRUE(trains(0));
  const Outcome second = run_patchcl(command);
  EXPECT_EQ(second.code, 2) << second.output;
  EXPECT_TRUE(contains(second.output, "runs is in use by process " + std::to_string(grid))) << second.output;
  EXPECT_EQ(stop(grid, grid), 9) << read_text(log);
  EXPECT_TRUE(contains(read_text(log), "seed-1; the same command goes on"));
  EXPECT_TRUE(fs::exists(cell + "/last.safetensors")) << "the run has ended, with a checkpoint";
  EXPECT_FALSE(fs::exists(runs + "/a/labeled-2/seed-2"));
  for (int i = 0; i < 3; ++i) {  // a signal to all, as `timeout` sends it, reaches a run twice
    const size_t before = fs::file_size(rows);
    const auto written = fs::last_write_time(cell + "/last.safetensors");
    grid = start(command, log);
    EXPECT_TRUE(trains(before)) << "goes on";
    EXPECT_EQ(stop(grid, -grid), 9) << read_text(log);
    EXPECT_GT(fs::last_write_time(cell + "/last.safetensors"), written) << "a checkpoint";
  }
}

}  // namespace
