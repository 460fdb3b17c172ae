// A grid of runs: variants x labelled cases x seeds, from a plan file, and the tables of their scores.
//
//   # everything behind # is a comment
//   labeled 3 7
//   seeds   1337 1338 1339
//   train   --data data/acdc --size 96 --iters 4000      options of every run of `patchcl train`
//   eval    --data data/acdc --preset ssl4mis            options of `patchcl eval` on its weights
//   weights last                           what is scored: the last ones, or (default) the best validated
//   variant mean-teacher   --method mean-teacher         a row of the table: a name and further options
#pragma once
#include <cmath>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "train/evaluate/table.h"

namespace patchcl {

struct GridVariant {
  std::string name;
  std::vector<std::string> options;
  std::string where = {};  // "acdc.plan:9"
};

struct GridPlan {
  std::vector<int64_t> labeled, seeds;
  std::vector<std::string> train, eval;
  std::string weights = "best";  // which of a run's are scored
  std::vector<GridVariant> variants;
};

// "a b  c" as three words.
std::vector<std::string> words(const std::string& text);

// Throws Error(usage) naming `path` and the line.
GridPlan parse_plan(const std::string& text, const std::string& path);

// One finished run: its scores averaged over cases and classes, Dice per class, and CPU seconds a step.
struct GridScore {
  double dice = 0, hd95 = 0;  // Dice in [0,1]; hd95 may be NaN
  std::map<std::string, double> dice_of_class;
  int64_t seed = 0;
  double step_seconds = NAN;  // where the run's record does not tell
};
using GridScores =
    std::map<std::pair<std::string, int64_t>, std::vector<GridScore>>;  // (variant, labelled) -> one per seed

// "71.42 ± 1.05": mean and sample standard deviation times `factor`; no deviation for one number, "-" for
// none.
std::string mean_and_deviation(const std::vector<double>& values, double factor);

// A table with its heading.
struct GridTable {
  TableRow head;
  std::vector<TableRow> rows;
};
inline std::string in_markdown(const GridTable& t) { return markdown_table(t.head, t.rows); }
// One row per variant; Dice and HD95 per number of labelled cases.
GridTable grid_table(const GridPlan& plan, const GridScores& scores);
// One row per variant; Dice per class for one number of labelled cases.
GridTable grid_class_table(const GridPlan& plan, const GridScores& scores, int64_t labeled);
// One row per variant; what a step cost per number of labelled cases: the one table that holds times.
GridTable grid_cost_table(const GridPlan& plan, const GridScores& scores);
// One row per variant but the first: its Dice minus the first's, seed by seed, as mean and deviation, with
// Student's t = mean / (deviation / sqrt(n)) where there are three seeds or more.
GridTable grid_differences(const GridPlan& plan, const GridScores& scores);

}  // namespace patchcl
