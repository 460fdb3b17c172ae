// Phases: what a method trains on and how, one part of the run after the other. A method says its phases from
// the shape of the run; the loop (train/loop/trainer.h) carries them out: batches, learning rate, what
// trains, and what happens between two of them. All of it is a function of the iteration, so a resume needs
// no state.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "data/stream/augment.h"
#include "data/stream/batch.h"
#include "train/optim/schedule.h"

namespace patchcl {

struct Work;  // train/evaluate/progress.h

// What the command line decides and a method plans with.
struct RunShape {
  int64_t iterations = 1;
  int64_t batch = 24;          // images in a step
  int64_t size = 256;          // height and width of an image
  int64_t size_multiple = 16;  // of the network's input
  LearningRate rate = {};      // over the whole run
  // Where images are windows: the share of the iterations, the last ones, that see whole images.
  double whole_share = 0;
  int64_t whole_size = 256, whole_batch = 24;
};

struct Phase {
  std::string name;  // "warm-up"
  int64_t iterations = 0;
  int64_t labeled = 0, unlabeled = 0;  // images in a batch
  bool halves_labeled = false;         // whether the method cuts that kind into halves
  bool halves_unlabeled = false;
  int64_t size = 0;                          // height and width of an image: planned() knows
  std::vector<ViewKind> views{{}};           // of every image; those without a geometry have the first one's
  std::optional<Augmentation> augment = {};  // of its images; empty: as the run has it
  LearningRate rate = {};
  // Prefixes of the names of the parameters that train; empty: all.
  std::vector<std::string> trains = {};

  // How it begins, unless it is the first.
  enum class Start { last, best } start = Start::last;  // weights: as they are, or the best validated so far
  bool keep_optimizer = true;                           // its state at the moment of those weights
  bool copy_to_teacher = false;

  size_t stage = 0;  // which of the method's own phases it is, or a part of
};

// How many images of a batch are labelled; 0 asks for half of them. Error(usage) where one kind is missing.
inline int64_t labeled_share(const RunShape& run, int64_t asked, const std::string& method) {
  const int64_t labeled = asked == 0 ? run.batch / 2 : asked;
  if (labeled < 1 || labeled >= run.batch)
    fail(ExitCode::usage, "options", "a batch of ", run.batch, " with ", labeled, " labelled images; ",
        method, " wants both kinds: raise --batch or mend --labeled-batch");
  return labeled;
}

// The one phase of a run without stages.
inline Phase whole_run(const RunShape& run, int64_t labeled, std::vector<ViewKind> views = {{}}) {
  return {.name = "training",
      .iterations = run.iterations,
      .labeled = labeled,
      .unlabeled = run.batch - labeled,
      .views = std::move(views),
      .rate = run.rate};
}

// A method's phases as they run: each knows its size and stage, and the end of the run sees whole images
// where `run` asks for that. A network of windows alone does not know where in an image it is, and finds
// islands far from the organ. The phase that the end begins in is cut in two; a batch has `whole_batch`
// images there, labelled and unlabelled in the proportion of before. Error(usage) where those do not divide.
std::vector<Phase> planned(std::vector<Phase> phases, const RunShape& run);

// What the first `steps` of a run come to; the cost is that of their pixels.
Work work_of(const std::vector<Phase>& planned, int64_t steps);

}  // namespace patchcl
