// cell.plan in a run's folder: with which options of a plan the run was made, in the plan's own words, so
// that a plan that has changed since does not take its scores for those of the options that it names now.
#pragma once
#include <string>

#include "train/commands/grid.h"

namespace patchcl {

// What decides a cell's scores; threads, which change nothing, do not.
std::string cell_record(const GridPlan& plan, const std::vector<std::string>& train);

// Error(usage) where the cell was made otherwise than `record` says, naming folder, option and both values.
// What has not begun to train has no options yet; what was not scored has no eval line, and its data may
// move. A folder without a record, of an older program, is taken for what the plan says.
void refuse_other_plan(const GridCell& cell, const std::string& record, bool scored);

// Before the cell trains or is scored. A folder that has begun without a record gets none.
void record_cell(const GridCell& cell, const std::string& record);

}  // namespace patchcl
