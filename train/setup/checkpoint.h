// Checkpoint: all that a run needs to go on as if it had never stopped.
//
// One safetensors file: the student's weights under PyTorch's names (so a checkpoint is also a weights file),
// the teacher's under "teacher.", the optimiser's state under "optimizer.", whatever the method adds, and in
// the metadata the iteration, the best score so far and the resolved configuration. RNG needs no state: it is
// a function of (seed, step).
#pragma once
#include <string>

#include "train/methods/method.h"
#include "train/setup/model_file.h"
#include "train/optim/optimizer.h"

namespace patchcl {

struct Progress {
  int64_t iteration = 0;  // steps done
  double best_dice = -1;  // mean foreground Dice of the best validation; -1: none yet
  int64_t best_iteration = 0;
};

// Writes DIR/last.safetensors; the one before stays as DIR/last.1.safetensors.
void save_checkpoint(const std::string& dir, const ModelInfo& info, const TrainState& s, const Method& method,
    const Optimizer& optimizer, const Progress& progress, const std::string& config);

// From a checkpoint file, or a run folder's last.safetensors. Throws Error(checkpoint) naming the file when
// it is damaged, and says where the previous one lies; when it belongs to another configuration, names the
// options that differ.
Progress load_checkpoint(const std::string& path, const TrainState& s, Method& method,
    const Optimizer& optimizer, const std::string& config);

// The path of the checkpoint that `resume` (folder or file) stands for.
std::string checkpoint_path(const std::string& resume);

}  // namespace patchcl
