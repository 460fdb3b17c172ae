// The options that `eval` and `predict` share: which weights, and how images go through the network.
#pragma once
#include <optional>
#include <string>

#include "data/objects.h"
#include "train/evaluate/inference.h"
#include "train/setup/model_file.h"

namespace CLI {
class App;
}

namespace patchcl {

struct About;

struct InferenceFlags {
  std::vector<std::string> weights;  // of networks that predict together
  std::string overlays;
  std::optional<Fit> fit;  // empty: as trained
  bool png = false;        // type of those
  std::string overlay_of(const std::string& id) const;
  int64_t size = 0;  // 0: what the weights were trained at
  int64_t batch = 8;
  double overlap = 0.5;
  int threads = 0;  // 0: all cores
  std::string math = "f32";
  bool teacher = false, turns = false, bilinear_back = false, largest_component = false;

  void add(CLI::App& app);
  // The networks; sets the threads. Error(usage) when their classes, size or way to meet it differ,
  // Error(non_finite) when a weight is NaN or infinite.
  std::vector<std::unique_ptr<Model>> load(const Arena& arena) const;
  // What the weights files say, where the user said nothing.
  InferenceOptions resolve(const std::vector<std::unique_ptr<Model>>& models) const;
  // All that changes the masks, against how the weights were trained.
  void describe(const ModelInfo& info, const InferenceOptions& options, About& about) const;
  // How the network's classes become objects: by the weights' border class, where they have one. Error(usage)
  // for another.
  ObjectOptions objects(const ModelInfo& info, ObjectOptions options) const;
};
Ensemble ensemble_of(const std::vector<std::unique_ptr<Model>>& models);

}  // namespace patchcl
