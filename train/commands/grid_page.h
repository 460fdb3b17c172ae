// report.html of a grid: its tables, validation curves by steps and by hours, and which runs are missing.
#pragma once
#include <filesystem>

#include "train/commands/grid.h"

namespace patchcl {

// Writes FOLDER/report.html. Error(io) when that fails.
void write_grid_page(const GridPlan& plan, const GridScores& scores, const std::vector<GridCell>& cells,
    const std::filesystem::path& folder);

}  // namespace patchcl
