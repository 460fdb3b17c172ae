// Checkpoint: all that a run needs to go on as if it had never stopped.
//
// One safetensors file: the student's weights under PyTorch's names (so a checkpoint is also a weights file),
// the teacher's under "teacher.", the optimiser's state under "optimizer.", whatever the method adds, and in
// the metadata the iteration, the best score so far and the resolved configuration. RNG needs no state: it is
// a function of (seed, step).
#pragma once
#include <string>

#include "train/setup/model_file.h"
#include "train/setup/learner.h"

namespace patchcl {

struct Progress {
  double best_dice = -1;  // mean foreground Dice of the best validation; -1: none yet
  int64_t best_iteration = 0;
};

// Error(non_finite) naming the first of these weights that is not finite: they would take the place of good
// ones.
void demand_finite(const TensorFile& file, int64_t iteration);

// The optimiser's state under "optimizer.".
void put_optimizer(TensorFile& file, Learner& learner);
void get_optimizer(const TensorFile& file, Learner& learner, const std::string& path);

// Begins with these weights (weights_path), as far as names and shapes agree; prints what was loaded and what
// was not.
void start_from_weights(Learner& learner, const std::string& from);

// Writes DIR/last.safetensors; the one before becomes DIR/last.1.safetensors with `keep_last`, for one that
// is known to be whole, else it goes and last.1 stays. `config` is the resolved configuration, `data` the
// fingerprint of the data lists. Error(non_finite), before a file is touched, for weights that are not
// finite.
void save_checkpoint(const std::string& dir, const ModelInfo& info, Learner& learner,
    const Progress& progress, const std::string& config, const std::string& data, bool keep_last);

// A checkpoint as its file has it.
struct Checkpoint {
  std::string path;
  TensorFile file = {};
  std::string config = {};  // resolved, as config.toml has it
  std::string data = {};    // fingerprint of the data lists; empty: the program was older
  int64_t iteration = 0;
  Progress progress = {};

  // Error(checkpoint) where these lists are others.
  void demand_data(const std::string& fingerprint) const;
  // Weights of the student and, unless null, of the teacher, and what the method keeps beside them.
  // Error(checkpoint) for those of another network.
  void restore(ParamStore& student, ParamStore* teacher, Method& method) const;
};

// Of the file `path`. Error(checkpoint) naming it when it is damaged, with the place of the one before, or
// holds weights only.
Checkpoint read_checkpoint(const std::string& path);

// From a checkpoint file; the learner goes to its iteration. Throws what read_checkpoint does, and
// Error(checkpoint) that names what differs when it belongs to another configuration or to other data. A
// checkpoint of a CPU with other instructions, whose numbers round otherwise, is refused unless
// `allow_other_bits`.
Progress load_checkpoint(const std::string& path, Learner& learner, const std::string& config,
    const std::string& data, bool allow_other_bits = false);

// The configuration that a checkpoint was written with. Error(checkpoint) as read_checkpoint.
std::string config_of(const std::string& checkpoint);

}  // namespace patchcl
