#include "train/methods/phase.h"

#include <algorithm>
#include <cmath>

#include "train/evaluate/progress.h"

namespace patchcl {

namespace {

// `images` of a batch of windows, in a batch of whole images.
int64_t in_whole_batch(int64_t images, const RunShape& run) {
  if (images == 0) return 0;
  const double share = double(images) / double(run.batch);
  return std::max<int64_t>(1, std::llround(share * double(run.whole_batch)));
}

Phase on_whole_images(Phase p, const RunShape& run) {
  p.name += ", whole images";
  p.size = run.whole_size;
  p.labeled = in_whole_batch(p.labeled, run);
  p.unlabeled = in_whole_batch(p.unlabeled, run);
  if ((p.halves_labeled && p.labeled % 2 != 0) || (p.halves_unlabeled && p.unlabeled % 2 != 0))
    fail(ExitCode::usage, "options", "--whole-batch ", run.whole_batch, " gives a step ", p.labeled,
        " labelled and ", p.unlabeled, " unlabelled images, of which the method takes halves; try ",
        (run.whole_batch + 3) / 4 * 4);
  return p;
}

// What is left of a phase when its first `done` steps are over: it goes on as it was.
Phase rest_of(Phase p, int64_t done) {
  p.iterations -= done;
  if (done == 0) return p;
  p.start = Phase::Start::last;
  p.keep_optimizer = true;
  p.copy_to_teacher = false;
  return p;
}

}  // namespace

std::vector<Phase> planned(std::vector<Phase> phases, const RunShape& run) {
  const int64_t whole = std::llround(run.whole_share * double(run.iterations));
  std::vector<Phase> all;
  int64_t windows = run.iterations - whole;  // steps
  for (size_t i = 0; i < phases.size(); ++i) {
    Phase p = phases[i];
    p.stage = i;
    p.size = run.size;
    const int64_t before = std::min(windows, p.iterations);
    windows -= before;
    const Phase rest = rest_of(p, before);
    p.iterations = before;
    if (p.iterations > 0) all.push_back(p);
    if (rest.iterations > 0) all.push_back(on_whole_images(rest, run));
  }
  return all;
}

Work work_of(const std::vector<Phase>& planned, int64_t steps) {
  Work all;
  for (const Phase& p : planned) {
    const int64_t of_phase = std::min(steps, p.iterations);
    const double images = double(of_phase * (p.labeled + p.unlabeled));
    all.images += images;
    all.cost += images * double(p.size * p.size);
    steps -= of_phase;
  }
  return all;
}

}  // namespace patchcl
