// What `patchcl bench` measures: the machine's ceilings, each convolution kernel as a fraction of them, and
// whole steps against PyTorch. Times are wall-clock; where other work disturbs the machine only the shortest
// of many is worth anything.
#pragma once
#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tensor/shape.h"
#include "tensor/simd.h"

namespace patchcl::bench {

// Seconds since some moment.
inline double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Shortest time of one call of fn, which runs for about `seconds` and at least three times after one to warm
// up.
template <class F> double shortest(double seconds, F&& fn) {
  fn();
  double best = 1e30;
  const double start = now();
  for (int runs = 0; runs < 3 || now() - start < seconds; ++runs) {
    const double begin = now();
    fn();
    best = std::min(best, now() - begin);
  }
  return best;
}

double median(std::vector<double> v);  // of an even number the upper one

// The ceilings: fused multiply-adds in registers, and a[i] = b[i] + s c[i] over arrays that no cache holds,
// counted as three numbers per element. All threads.
struct Machine {
  std::string name, isa;
  int threads;
  double flops, bytes;  // per second
};
Machine measure_machine();
// The GPU's: cuBLAS on large matrices in the current math mode, and the same triad.
Machine measure_gpu();

// One convolution of the UNet, one pass over it, one choice of kernels.
struct KernelTime {
  std::string layer;  // "32+32 -> 32, 128x128"
  std::string pass, kernels;
  int times;                    // how often the network has this layer
  double flop, bytes, seconds;  // direct-equivalent: 2 * 9 * pixels * Cin * Cout, whatever the kernel does
};
std::vector<KernelTime> measure_kernels(
    int64_t batch, const std::vector<std::string>& kernels, double seconds);

// The UNet at work on random images: what the peers are compared on. On the GPU calls return before the work
// is done.
class Network {
 public:
  // `graph`: steps are recorded once and replayed (train/loop/recorded_step.h).
  Network(int64_t batch, int64_t size, Device device = Device::cpu, bool graph = false);
  ~Network();
  void train();                  // forward, cross-entropy and Dice, backward, SGD: one step
  void infer();                  // forward alone, with running statistics and without gradients
  void wait();                   // for the GPU
  double planned_bytes() const;  // of a step's activations

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The supervised contrast of random vectors of 128 numbers and four labels, forward and backward.
class ContrastStep {
 public:
  explicit ContrastStep(int64_t vectors);
  ~ContrastStep();
  void run();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// A training step by the size of images, their number and the threads; steps of more than `most_pixels` are
// left out.
struct StepTime {
  int64_t size, batch;
  int threads;
  double seconds, bytes;  // the shortest; of activations
};
struct ScaleOptions {
  double seconds = 0.5;  // for each
  int64_t most_pixels = 1 << 22;
};
std::vector<StepTime> measure_scale(const std::vector<int64_t>& sizes, const std::vector<int64_t>& batches,
    const std::vector<int>& threads, const ScaleOptions& options);
// Cost and memory per pixel with the most threads; with two counts of threads, the first of which is 1, what
// more cores would give.
std::string scale_tables(const std::vector<StepTime>& all, const std::vector<int64_t>& sizes,
    const std::vector<int64_t>& batches, const std::vector<int>& threads);
// Of a step's seconds on one thread and on many; the speed-up of so many threads.
double serial_share(double one, double many, int threads);
double amdahl(double serial, int threads);

// A training step of a semi-supervised method behind its warm-up, half of the batch labelled (of supervised:
// all of it). The methods take turns, `rounds` times; median.
struct MethodTime {
  std::string method;
  double seconds;
};
std::vector<MethodTime> measure_methods(
    const std::vector<std::string>& methods, int64_t batch, int64_t size, int rounds);

// Time per kind of kernel in a training step, the shortest of `steps`.
struct OpTime {
  std::string op, shape;  // of y
  bool backward;
  int calls;
  double seconds;  // of all calls
};
std::vector<OpTime> profile(Network& network, int steps);

// A process that does one of a few things: it reads which, "train" or "infer", and answers with the seconds
// that took.
class Peer {
 public:
  // Throws Error(usage) with the reason when it cannot start or does not greet with a line.
  Peer(const std::vector<std::string>& command,
      const std::vector<std::pair<std::string, std::string>>& environment);
  ~Peer();
  Peer(const Peer&) = delete;
  double run(const std::string& what);
  double peak_bytes() const;   // resident memory at its highest so far
  double cpu_seconds() const;  // of all its threads
  const std::string& greeting() const { return greeting_; }

 private:
  std::string read_line();
  int pid_, to_, from_;
  std::string greeting_, buffer_;
};
// Serves the other side of Peer on standard input and output until its end. run(what) does it `steps` times;
// each answer is the mean.
void serve(const std::function<void(const std::string& what)>& run, int steps);

// Ours against one setting of a peer, taken in turn; medians, and the median of the pairs' ratios.
struct Comparison {
  std::string peer, version, what;         // "PyTorch channels_last", "1.13.0a0", "train"
  std::string input;                       // "4 of 256x256"
  int64_t batch = 0, size = 0;             // of images; of a contrast the vectors, and 0
  double ours = 0, theirs = 0, ratio = 0;  // seconds, seconds, theirs / ours
  double our_bytes = 0, their_bytes = 0;
  double others = 0;    // share of the machine that neither of the two took
  std::string not_run;  // the reason, else empty
};
struct CompareOptions {
  std::vector<int64_t> batches{1, 4, 24};
  int64_t size = 256;
  Device device = Device::cpu;  // the GPU: every peer in f32 and TF32, PyTorch in bf16 too
  int pairs = 9;                // at most
  std::string torch_script = "train/bench/bench_torch.py", jax_script = "train/bench/bench_jax.py",
              onnx_script = "train/bench/bench_onnx.py", contrast_script = "train/bench/bench_contrast.py";
};
std::vector<Comparison> compare(const CompareOptions& options);
// The contrast of so many vectors against PyTorch, which keeps all pairs in one matrix; only `pairs` is read.
std::vector<Comparison> compare_contrasts(const std::vector<int64_t>& vectors, const CompareOptions& options);

struct Results {
  Machine machine;
  std::vector<KernelTime> kernels;
  std::vector<Comparison> comparisons;
};
std::string markdown(const Results& r);
// bench.md, bench.json and roofline.svg (by gnuplot, where there is one) in `folder`.
void write_report(const Results& r, const std::string& folder);

}  // namespace patchcl::bench

namespace patchcl {
// Runs `rounds` * 24 independent multiply-adds per lane on the calling thread; returns the floating-point
// operations.
FOR_EACH_ISA(double fma_rounds(int64_t rounds, float* sink);
             void triad(float* a, const float* b, const float* c, int64_t n);)
}  // namespace patchcl
