// The options that `eval` and `predict` share: which weights, and how images go through the network.
#pragma once
#include <string>

#include "train/evaluate/inference.h"
#include "train/setup/model_file.h"

namespace CLI {
class App;
}

namespace patchcl {

struct InferenceFlags {
  std::string weights, fit = "auto";
  int64_t size = 0;  // 0: what the weights were trained at
  int64_t batch = 8;
  double overlap = 0.5;
  int threads = 0;  // 0: all cores

  void add(CLI::App& app);
  // The weights; sets the threads.
  std::unique_ptr<Model> load(const Arena& arena) const;
  // What the weights file says, where the user said nothing.
  InferenceOptions resolve(const ModelInfo& info) const;
};

}  // namespace patchcl
