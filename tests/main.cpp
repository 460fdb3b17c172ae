// Runs all tests and closes with one line that scripts can read: "N passed, N failed, N skipped".
//   build/tests --jobs=4 --gtest_filter='Conv2d*'    in four processes, of which each takes every fourth test
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace {

struct Counts {
  int passed = 0, failed = 0, skipped = 0;
  void print() const {
    std::printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
    std::fflush(stdout);
  }
};

// A filter that matches nothing, or a binary without tests, is no success.
bool ran(const Counts& c) { return c.passed + c.failed + c.skipped > 0; }

Counts run_here() {
  const int rc = RUN_ALL_TESTS();
  const testing::UnitTest& all = *testing::UnitTest::GetInstance();
  Counts c{all.successful_test_count(), all.failed_test_count(), all.skipped_test_count()};
  if (rc != 0 && c.failed == 0) c.failed = 1;  // outside of a test
  return c;
}

// A process that runs every `jobs`-th test. What it prints comes out of a pipe.
struct Part {
  pid_t pid;
  FILE* output;
};

[[noreturn]] void die(const char* call) {
  std::perror(call);
  std::exit(1);
}

Part start(int index, int jobs) {
  int ends[2];
  if (pipe(ends) != 0) die("pipe");
  const pid_t pid = fork();
  if (pid < 0) die("fork");
  if (pid > 0) {
    close(ends[1]);
    return {pid, fdopen(ends[0], "r")};
  }
  close(ends[0]);
  for (const int stream : {STDOUT_FILENO, STDERR_FILENO}) dup2(ends[1], stream);
  close(ends[1]);
  setenv("GTEST_TOTAL_SHARDS", std::to_string(jobs).c_str(), 1);
  setenv("GTEST_SHARD_INDEX", std::to_string(index).c_str(), 1);
  run_here().print();
  std::exit(0);
}

bool ends_a_test(const std::string& line) {
  return line.starts_with("[       OK ]") || line.starts_with("[  FAILED  ]") ||
         line.starts_with("[  SKIPPED ]");
}

// Prints what a part prints, test by test so that those of several do not mix, and takes its counts from its
// last line.
Counts follow(const Part& part, std::mutex& printing) {
  Counts c;
  bool counted = false;
  std::string test;
  const auto print = [&] {
    const std::lock_guard lock(printing);
    std::cout << test << std::flush;
    test.clear();
  };
  char* line = nullptr;
  size_t room = 0;
  while (getline(&line, &room, part.output) > 0) {
    counted = std::sscanf(line, "%d passed, %d failed, %d skipped", &c.passed, &c.failed, &c.skipped) == 3;
    if (counted) continue;
    test += line;
    if (ends_a_test(line)) print();
  }
  std::free(line);
  std::fclose(part.output);
  int status = 0;
  waitpid(part.pid, &status, 0);
  if (!counted || status != 0) {
    test +=
        "a process of the tests died in the test named above (wait status " + std::to_string(status) + ")\n";
    c.failed += 1;
  }
  print();
  return c;
}

Counts run_in_parts(int jobs) {
  std::vector<Part> parts;
  for (int i = 0; i < jobs; ++i) parts.push_back(start(i, jobs));
  std::mutex printing;
  std::vector<Counts> counts(parts.size());
  std::vector<std::thread> readers;
  for (size_t i = 0; i < parts.size(); ++i)
    readers.emplace_back([&, i] { counts[i] = follow(parts[i], printing); });
  for (std::thread& reader : readers) reader.join();
  Counts sum;
  for (const Counts& c : counts) {
    sum.passed += c.passed;
    sum.failed += c.failed;
    sum.skipped += c.skipped;
  }
  return sum;
}

}  // namespace

int main(int argc, char** argv) {
  int jobs = 1;
  // Before GoogleTest keeps the words: a death test starts the program with them again.
  const auto is_jobs = [&](const char* word) { return std::sscanf(word, "--jobs=%d", &jobs) == 1; };
  argc = int(std::remove_if(argv + 1, argv + argc, is_jobs) - argv);
  argv[argc] = nullptr;
  testing::InitGoogleTest(&argc, argv);
  if (argc > 1 || jobs < 1) {
    const char* wrong = argc > 1 ? argv[1] : "--jobs";
    std::fprintf(stderr, "tests: %s: say --jobs=N or an option of GoogleTest\n", wrong);
    return 2;
  }
  const Counts c = jobs == 1 ? run_here() : run_in_parts(jobs);
  c.print();
  return c.failed > 0 || !ran(c);
}
