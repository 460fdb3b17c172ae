// The team of threads: each iteration once, whoever comes late; errors, nesting, several callers.
#include "tensor/parallel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>
#include <vector>

using namespace patchcl;

namespace {
class Parallel : public testing::TestWithParam<int> {
 protected:
  void SetUp() override { set_threads(GetParam()); }
  void TearDown() override { set_threads(before_); }
  int before_ = threads();
};
}  // namespace

TEST_P(Parallel, RunsEachIterationOnce) {
  for (int64_t n : {0, 1, 2, 3, 7, 1000}) {
    for (int round = 0; round < 200; ++round) {
      std::vector<int> runs(size_t(n), 0);
      parallel_for(n, [&](int64_t i) { ++runs[size_t(i)]; });
      ASSERT_EQ(runs, std::vector<int>(size_t(n), 1)) << n;
    }
  }
}

TEST_P(Parallel, AThreadThatDawdlesLeavesItsShareToOthers) {
  std::atomic<bool> released = false;
  std::atomic<int> done = 0;
  // The first iteration waits for all others: with fixed shares those of the same thread would never come.
  if (GetParam() == 1) return;
  parallel_for(64, [&](int64_t i) {
    if (i == 0) {
      const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(60);
      while (done < 63 && std::chrono::steady_clock::now() < limit) std::this_thread::yield();
      released = done == 63;
    } else {
      ++done;
    }
  });
  EXPECT_TRUE(released);
}

TEST_P(Parallel, IndicesAreBelowThreadsAndNeverSharedAtATime) {
  std::vector<std::atomic<int>> used(static_cast<size_t>(threads()));
  std::atomic<bool> clash = false;
  parallel_for(500, [&](int64_t) {
    std::atomic<int>& mine = used.at(size_t(thread_index()));
    if (mine.fetch_add(1) != 0) clash = true;
    std::this_thread::yield();
    mine.fetch_sub(1);
  });
  EXPECT_FALSE(clash);
}

TEST_P(Parallel, AnExceptionArrivesAndTheTeamGoesOn) {
  for (int round = 0; round < 20; ++round)
    EXPECT_THROW(parallel_for(50,
                     [](int64_t i) {
                       if (i % 10 == 3) throw std::runtime_error("3");
                     }),
        std::runtime_error);
  std::atomic<int> runs = 0;
  parallel_for(50, [&](int64_t) { ++runs; });
  EXPECT_EQ(runs, 50);
}

TEST_P(Parallel, WithinAnIterationItRunsOnThatThread) {
  std::atomic<int> runs = 0, elsewhere = 0;
  parallel_for(8, [&](int64_t) {
    const auto here = std::this_thread::get_id();
    parallel_for(16, [&](int64_t) {
      ++runs;
      if (std::this_thread::get_id() != here) ++elsewhere;
    });
  });
  EXPECT_EQ(runs, 128);
  EXPECT_EQ(elsewhere, 0);
}

TEST_P(Parallel, CallersDoNotDisturbEachOther) {
  std::vector<std::thread> callers;
  std::atomic<int64_t> wrong = 0;
  for (int c = 0; c < 3; ++c)
    callers.emplace_back([&] {
      for (int round = 0; round < 100; ++round)
        if (chunked_sum<int64_t>(100000, [](int64_t i) { return i; }) != 4999950000) ++wrong;
    });
  for (std::thread& t : callers) t.join();
  EXPECT_EQ(wrong, 0);
}

INSTANTIATE_TEST_SUITE_P(Threads, Parallel, testing::Values(1, 2, 3, 8));
