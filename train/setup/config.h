// TrainConfig: every option of `patchcl train` with its default, in one struct.
//
// The same names serve the command line (--batch 8), a TOML file (--config FILE with batch=8) and the
// resolved dump in the run folder, which --config reads back. Unknown keys are errors.
#pragma once
#include <string>
#include <vector>

#include "tensor/device.h"
#include "tensor/shape.h"
#include "train/methods/options.h"

namespace CLI {
class App;
}

namespace patchcl {

struct TrainConfig {
  std::string method = "supervised";
  // Data
  std::string data = "phantom";  // folder, or "phantom:cases=40,size=96"
  int64_t labeled = -1;          // labelled cases; -1: all
  int64_t val = -1;              // held-out cases where there is no list; -1: one in five
  int64_t size = 256;
  std::string augment = "ssl4mis";
  // Optimisation
  int64_t iters = 30000, batch = 24;
  int64_t labeled_batch = 0;  // of a semi-supervised batch; 0: half
  std::string optimizer = "sgd";
  double lr = 0.01, momentum = 0.9, weight_decay = 1e-4;
  uint64_t seed = 1337;
  // Network
  std::vector<int> widths{16, 32, 64, 128, 256};
  std::vector<double> dropout{0.05, 0.1, 0.2, 0.3, 0.5};
  std::string dtype = "f32";
  bool fused = true;
  // Running
  std::string out = "runs/last";
  std::string resume;  // run folder or checkpoint file
  int64_t val_every = 200;
  int64_t log_every = 10;
  int64_t picture_every = 0;  // 0: at the end only
  int64_t audit_every = 0;    // 0: never
  int threads = 0;            // 0: all cores
  std::string kernels = "fast", device = "auto", math = "f32";
  bool graph = false;
  bool anomaly = false;
  MethodOptions methods;
};

void add_options(CLI::App& app, TrainConfig& config);
// The options of an earlier run, from the config.toml of its folder (or beside its checkpoint); the resolved
// text, empty when there is no such file. Throws Error(checkpoint) when it cannot be read.
std::string read_run_options(const std::string& run, TrainConfig& config);

// What the strings stand for; the command line has checked them.
DType parse_dtype(const std::string& name);
Device parse_device(const std::string& name);  // "auto" is cuda where a GPU answers

}  // namespace patchcl
