#include "train/commands/inference_flags.h"

#include <CLI/CLI.hpp>

#include "tensor/parallel.h"
#include "train/setup/config.h"

namespace patchcl {

void InferenceFlags::add(CLI::App& app) {
  app.add_option(
         "--weights", weights, "Weights: a safetensors file of `train` or a converted PyTorch checkpoint")
      ->required();
  app.add_option("--size", size, "Side of the network's input; 0: that of the weights")
      ->check(CLI::Range(int64_t(0), int64_t(kSides.most)))
      ->capture_default_str();
  app.add_option("--fit", fit,
         "resize: zoom each slice to the network; crop: overlapping windows at native resolution; auto: as "
         "trained")
      ->check(CLI::IsMember({"auto", "resize", "crop"}))
      ->capture_default_str();
  app.add_option("--overlap", overlap, "With crop: share of a window that its neighbour covers too")
      ->capture_default_str();
  app.add_option("--batch", batch, "Slices or windows in one forward pass")
      ->check(CLI::Range(int64_t(1), int64_t(kBatches.most)))
      ->capture_default_str();
  app.add_option("--threads", threads, "CPU threads; 0: all cores")->capture_default_str();
}

std::unique_ptr<Model> InferenceFlags::load(const Arena& arena) const {
  if (threads > 0) set_threads(threads);
  return load_model(weights, arena);
}

InferenceOptions InferenceFlags::resolve(const ModelInfo& info) const {
  InferenceOptions o;
  o.fit = info.fit;
  if (fit != "auto") o.fit = fit == "resize" ? Fit::resize : Fit::crop;
  o.size = size == 0 ? info.size : size;
  o.batch = batch;
  o.overlap = overlap;
  return o;
}

}  // namespace patchcl
