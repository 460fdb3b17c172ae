// A grid of runs: variants x labelled cases x seeds, from a plan file, and the tables of their scores.
//
//   # everything behind # is a comment
//   labeled 3 7
//   seeds   1337 1338 1339
//   train   --data data/acdc --size 96 --iters 4000      options of every run of `patchcl train`
//   eval    --data data/acdc --preset ssl4mis            options of `patchcl eval` on its weights
//   weights last                           what is scored: the last ones, or (default) the best validated
//   columns dice pooled hd95               what the table shows (kGridColumns); default: dice hd95
//   variant mean-teacher   --method mean-teacher         a row of the table: a name and further options
//
// What holds blanks or # stands in quotes, as in a shell.
#pragma once
#include <cmath>
#include <cstdint>
#include <filesystem>
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

// One run of a grid.
struct GridCell {
  const GridVariant* variant;
  int64_t labeled, seed;
  std::filesystem::path folder;
};

// One finished run: its scores as scores.json of `patchcl eval` has them, and CPU seconds a step. NaN where a
// score is undefined, or older than the number.
struct GridScore {
  double dice = 0, hd95 = 0;  // means over cases and classes; shares are in [0,1]
  std::map<std::string, double> dice_of_class;
  int64_t seed = 0;
  double step_seconds = NAN;  // where the run's record does not tell
  double jaccard = NAN, asd = NAN;
  double accuracy = NAN;  // pixel accuracy, mean over cases
  double pooled = NAN;    // Dice of the voxels of all cases together, mean over classes
};

// What a table can show of the runs.
struct GridColumn {
  const char *name, *heading;  // in a plan, in a table
  double factor;               // from the score to what is shown
  double GridScore::*score;
};
inline constexpr GridColumn kGridColumns[]{{"dice", "Dice %", 100, &GridScore::dice},
    {"hd95", "HD95", 1, &GridScore::hd95}, {"jaccard", "Jaccard %", 100, &GridScore::jaccard},
    {"asd", "ASD", 1, &GridScore::asd}, {"accuracy", "accuracy %", 100, &GridScore::accuracy},
    {"pooled", "pooled Dice %", 100, &GridScore::pooled}};

// The options of one line 'train'.
struct GridLine {
  std::vector<std::string> options;
  std::string where;
};

struct GridPlan {
  std::vector<int64_t> labeled, seeds;  // labelled cases, -1: all
  std::vector<std::string> train, eval;
  std::vector<GridLine> train_lines;  // what `train` is made of
  std::string weights = "best";       // which of a run's are scored
  std::vector<GridColumn> columns{kGridColumns[0], kGridColumns[1]};
  std::vector<GridVariant> variants;
};

// "a 'b c'  # d" as two words: as a shell takes a line apart. Error(usage) naming `where` for a quote without
// its end.
std::vector<std::string> words(const std::string& text, const std::string& where);

// "7 labelled", "all labelled".
std::string labeled_text(int64_t labeled);

// Error(usage) naming `where` for an option that the grid says of each run itself: it would be lost.
void refuse_options_of_grid(const std::vector<std::string>& options, const std::string& where);

// Throws Error(usage) naming `path` and the line.
GridPlan parse_plan(const std::string& text, const std::string& path);

using GridScores =
    std::map<std::pair<std::string, int64_t>, std::vector<GridScore>>;  // (variant, labelled) -> one per seed

// "71.42 ± 1.05": mean and sample standard deviation times `factor`, of the values that are numbers; no
// deviation for one of them, "-" for none.
std::string mean_and_deviation(std::vector<double> values, double factor);

// A table with its heading.
struct GridTable {
  TableRow head;
  std::vector<TableRow> rows;
};
inline std::string in_markdown(const GridTable& t) { return markdown_table(t.head, t.rows); }
// One row per variant; the plan's columns per number of labelled cases.
GridTable grid_table(const GridPlan& plan, const GridScores& scores);
// One row per variant; Dice per class for one number of labelled cases.
GridTable grid_class_table(const GridPlan& plan, const GridScores& scores, int64_t labeled);
// One row per variant; what a step cost per number of labelled cases: the one table that holds times.
GridTable grid_cost_table(const GridPlan& plan, const GridScores& scores);
// One row per variant but the first: the plan's first column minus the first variant's, seed by seed where
// both are defined, as mean and deviation, with Student's t = mean / (deviation / sqrt(n)) where there are
// three seeds or more.
GridTable grid_differences(const GridPlan& plan, const GridScores& scores);

}  // namespace patchcl
