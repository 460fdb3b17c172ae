// A block's threads as fibers: each has a stack, runs until it waits at a barrier, and goes on when the last
// one has arrived. A thread that never waits leaves its fiber to the next thread, so a kernel without
// barriers is a plain loop.
#undef _FORTIFY_SOURCE  // its longjmp refuses to change stacks
#include "threads.h"

#include <setjmp.h>
#include <ucontext.h>

#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>
#include <vector>

thread_local dim3 threadIdx, blockIdx, gridDim, blockDim;

namespace emulated_gpu {

namespace {

constexpr size_t kStack = 128 << 10;
constexpr int kMaxThreads = 1024, kWarp = 32;

class BlockRunner {
 public:
  void run(const std::function<void()>& thread) {
    thread_ = &thread;
    count_ = int(blockDim.x);
    started_ = finished_ = 0;
    block_waiting_.clear();
    for (auto& w : warp_waiting_) w.clear();
    while (finished_ < count_) {
      if (!ready_.empty()) {
        const int t = ready_.front();
        ready_.pop_front();
        resume(fiber_of_[t]);
      } else if (started_ < count_) {
        resume(idle_fiber());
      } else {
        std::fprintf(stderr,
            "emulated GPU: %d of %d threads of a block wait for threads that have left the kernel\n",
            count_ - finished_, count_);
        std::abort();
      }
    }
  }

  void wait_for_block() {
    block_waiting_.push_back(current_);
    meet(block_waiting_, count_);
  }

  uint64_t exchange(uint64_t mine, int lane_mask) {
    const int t = current_, warp = t / kWarp, parity = shuffles_[t]++ & 1;
    slots_[parity][t] = mine;
    warp_waiting_[warp].push_back(t);
    meet(warp_waiting_[warp], std::min(kWarp, count_ - warp * kWarp));
    return slots_[parity][t ^ lane_mask];
  }

 private:
  struct Fiber {
    jmp_buf at;
    ucontext_t start;
    std::unique_ptr<char[]> stack{new char[kStack]};
    bool running = false, idle = true;
  };

  // The last one to arrive goes straight on, the others after it.
  void meet(std::vector<int>& waiting, int wanted) {
    if (int(waiting.size()) == wanted) {
      for (int t : waiting)
        if (t != current_) ready_.push_back(t);
      waiting.clear();
      return;
    }
    const int me = current_;
    if (!_setjmp(fiber_of_[me]->at)) _longjmp(scheduler_, 1);
    enter(me);
  }

  void enter(int t) {
    current_ = t;
    threadIdx = dim3(unsigned(t));
  }

  Fiber* idle_fiber() {
    for (auto& f : fibers_)
      if (f->idle) return f.get();
    fibers_.push_back(std::make_unique<Fiber>());
    return fibers_.back().get();
  }

  void resume(Fiber* f) {
    f->idle = false;
    active_ = f;
    if (_setjmp(scheduler_)) return;
    if (f->running) _longjmp(f->at, 1);
    f->running = true;
    getcontext(&f->start);
    f->start.uc_stack.ss_sp = f->stack.get();
    f->start.uc_stack.ss_size = kStack;
    f->start.uc_link = nullptr;
    makecontext(&f->start, &BlockRunner::fiber_main, 0);
    setcontext(&f->start);
  }

  static void fiber_main();
  [[noreturn]] void serve() {
    for (;;) {
      Fiber* const mine = active_;
      while (started_ < count_) {
        const int t = started_++;
        fiber_of_[t] = mine;
        enter(t);
        (*thread_)();
        ++finished_;
      }
      mine->idle = true;
      if (!_setjmp(mine->at)) _longjmp(scheduler_, 1);
    }
  }

  const std::function<void()>* thread_ = nullptr;
  int count_ = 0, started_ = 0, finished_ = 0, current_ = 0;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  Fiber* fiber_of_[kMaxThreads] = {};
  Fiber* active_ = nullptr;
  std::deque<int> ready_;
  std::vector<int> block_waiting_, warp_waiting_[kMaxThreads / kWarp];
  uint64_t slots_[2][kMaxThreads] = {};
  unsigned shuffles_[kMaxThreads] = {};
  jmp_buf scheduler_;
};

BlockRunner& runner() {
  static thread_local BlockRunner r;
  return r;
}

void BlockRunner::fiber_main() { runner().serve(); }

}  // namespace

void run_block(dim3 grid, dim3 block, dim3 index, const std::function<void()>& thread) {
  gridDim = grid;
  blockDim = block;
  blockIdx = index;
  runner().run(thread);
}

uint64_t exchange(uint64_t mine, int lane_mask) { return runner().exchange(mine, lane_mask); }

}  // namespace emulated_gpu

void __syncthreads() { emulated_gpu::runner().wait_for_block(); }
