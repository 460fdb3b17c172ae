// Runs of the program that are stopped, and what two of them left.
#pragma once
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <sstream>
#include <thread>

#include "tensor/file.h"
#include "tensor/io.h"
#include "tests/command_line.h"

namespace patchcl::test {

// Options of a run that takes a part of a second.
inline std::string short_run(const std::string& run, int steps, const std::string& more = "") {
  return "train --data phantom:cases=4,val=1,size=32,slices=2 --labeled 2 --size 16 --batch 2 --widths 2,4 "
         "--dropout 0,0.1 --threads 1 --log-every 1 --device cpu --out " +
         run + " --iters " + std::to_string(steps) + " " + more;
}

// Weights, teacher, optimiser, queues: all tensors of the two checkpoints, bit by bit.
inline void expect_equal_checkpoints(const std::string& a, const std::string& b) {
  const Arena memory("test");
  const TensorFile x = load_tensors(a, memory), y = load_tensors(b, memory);
  ASSERT_EQ(x.tensors.size(), y.tensors.size());
  for (const auto& [name, t] : x.tensors) {
    ASSERT_TRUE(y.tensors.contains(name)) << name;
    const Tensor& u = y.tensors.at(name);
    ASSERT_EQ(t.shape(), u.shape()) << name;
    EXPECT_EQ(std::memcmp(t.raw(), u.raw(), t.bytes()), 0) << name;
  }
}

// Starts `build/patchcl arguments`, waits until `folder`/metrics.csv has a line of `iteration`, sends `sig`;
// its exit code.
inline int interrupt_at(int iteration, int sig, const std::string& arguments, const std::string& folder) {
  const pid_t child = fork();
  if (child == 0) {
    if (!freopen("/dev/null", "w", stdout)) _exit(120);
    std::istringstream words(arguments);
    std::vector<std::string> all{"patchcl"};
    for (std::string w; words >> w;) all.push_back(w);
    std::vector<char*> argv;
    for (std::string& w : all) argv.push_back(w.data());
    argv.push_back(nullptr);
    execv("build/patchcl", argv.data());
    _exit(127);
  }
  const std::string table = folder + "/metrics.csv", row = "\n" + std::to_string(iteration) + ",";
  for (int i = 0; i < 6000 && !(std::filesystem::exists(table) && contains(read_text(table), row)); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  kill(child, sig);
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

}  // namespace patchcl::test
