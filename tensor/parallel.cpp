#include "tensor/parallel.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <mutex>
#include <thread>
#include <vector>

#include "tensor/shape.h"

namespace patchcl {

namespace {

constexpr int kMaxThreads = 1024;

thread_local int g_index = 0;
thread_local bool g_inside = false;  // this thread runs iterations of a parallel_for

// Waits until value differs from `old`: for about a millisecond on the core, which is longer than from kernel
// to kernel, for waking a core up costs much of that; then asleep. Measured: with a tenth of it a UNet of one
// image takes 16 ms instead of 12 now and then; with more, two programs on two cores get less than half each.
constexpr int kSpins = 20000;
template <class T> T wait_for_change(const std::atomic<T>& value, T old) {
  for (int i = 0; i < kSpins; ++i) {
    const T now = value.load(std::memory_order_acquire);
    if (now != old) return now;
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }
  value.wait(old, std::memory_order_acquire);
  return value.load(std::memory_order_acquire);
}

// The gate counts the workers inside a call. Closed, it lets nobody in: who wakes up after the work is done
// is not waited for.
class Team {
 public:
  explicit Team(int threads) : shares_(size_t(threads)) {
    try {
      for (int i = 1; i < threads; ++i) workers_.emplace_back([this, i] { work(i); });
    } catch (const std::exception& e) {
      dismiss();
      fail(ExitCode::device, "threads", "the system gives ", workers_.size() + 1, " of ", threads, ": ",
          e.what(), "; ask for fewer with --threads");
    }
  }
  ~Team() { dismiss(); }
  int size() const { return int(shares_.size()); }

  void run(int64_t n, void (*body)(void*, int64_t), void* context) {
    body_ = body;
    context_ = context;
    error_ = nullptr;
    for (int64_t t = 0; t < size(); ++t) {
      shares_[size_t(t)].next.store(n * t / size(), std::memory_order_relaxed);
      shares_[size_t(t)].end = n * (t + 1) / size();
    }
    gate_.store(0);
    call();
    take();
    for (int32_t inside = gate_.fetch_or(kClosed) | kClosed; inside != kClosed;)
      inside = wait_for_change(gate_, inside);
    if (error_) std::rethrow_exception(error_);
  }

 private:
  static constexpr int32_t kClosed = 1 << 30;
  // A thread's share lies in one piece, which its caches know from the kernel before; then it helps the
  // others.
  struct alignas(64) Share {
    std::atomic<int64_t> next;
    int64_t end;
  };

  void dismiss() {
    stop_ = true;
    call();
    for (std::thread& w : workers_) w.join();
  }
  void call() {
    round_.fetch_add(1);
    round_.notify_all();
  }
  void work(int index) {
    g_index = index;
    for (uint32_t seen = 0;;) {
      seen = wait_for_change(round_, seen);
      if (stop_) return;
      if (!enter()) continue;
      take();
      if (gate_.fetch_sub(1) - 1 == kClosed) gate_.notify_one();
    }
  }
  bool enter() {
    int32_t inside = gate_.load();
    while (!(inside & kClosed))
      if (gate_.compare_exchange_weak(inside, inside + 1)) return true;
    return false;
  }
  void take() {
    g_inside = true;
    for (size_t k = 0; k < shares_.size(); ++k) {
      Share& share = shares_[(size_t(g_index) + k) % shares_.size()];
      for (int64_t i; (i = share.next.fetch_add(1, std::memory_order_relaxed)) < share.end;) call_body(i);
    }
    g_inside = false;
  }
  void call_body(int64_t i) {
    try {
      body_(context_, i);
    } catch (...) {
      const std::lock_guard lock(error_mutex_);
      if (!error_) error_ = std::current_exception();
    }
  }

  std::vector<Share> shares_;
  std::vector<std::thread> workers_;
  void (*body_)(void*, int64_t) = nullptr;
  void* context_ = nullptr;
  std::exception_ptr error_;
  std::mutex error_mutex_;
  alignas(64) std::atomic<uint32_t> round_{0};
  alignas(64) std::atomic<int32_t> gate_{kClosed};
  std::atomic<bool> stop_{false};
};

int wished_threads() {
  const char* wish = std::getenv("OMP_NUM_THREADS");
  const int n = wish ? std::atoi(wish) : int(std::thread::hardware_concurrency());
  return std::clamp(n, 1, kMaxThreads);
}

int& chosen_threads() {
  static int n = wished_threads();
  return n;
}
std::mutex g_team_mutex;
std::unique_ptr<Team> g_team;

}  // namespace

int threads() { return chosen_threads(); }

void set_threads(int n) {
  if (n < 1 || n > kMaxThreads)
    fail(ExitCode::usage, "threads", "a team has 1 to ", kMaxThreads, " threads, not ", n,
        "; lower --threads");
  const std::lock_guard lock(g_team_mutex);
  chosen_threads() = n;
  g_team.reset();
}

int thread_index() { return g_index; }

void run_parallel(int64_t n, void (*body)(void* context, int64_t i), void* context) {
  if (n > 1 && threads() > 1 && !g_inside) {
    // A second thread of the program that comes while the team is busy works alone.
    if (const std::unique_lock lock(g_team_mutex, std::try_to_lock); lock) {
      if (!g_team) g_team = std::make_unique<Team>(threads());
      return g_team->run(n, body, context);
    }
  }
  for (int64_t i = 0; i < n; ++i) body(context, i);
}

}  // namespace patchcl
