#include "train/commands/grid_page.h"

#include <algorithm>
#include <cmath>

#include "tensor/file.h"
#include "train/evaluate/html.h"
#include "train/loop/run_report.h"
#include "train/setup/run_folder.h"
#include "train/setup/run_record.h"

namespace patchcl {

namespace {

void add_table(html::Page& page, const std::string& heading, const GridTable& table) {
  page.heading(heading);
  std::vector<TableRow> rows = table.rows;
  for (TableRow& row : rows)
    for (std::string& cell : row) cell = in_markup(cell);
  page.table(table.head, rows);
}

// The mean over the runs of a row, at the steps that all of them have validated.
html::Curve mean_curve(const std::string& name, const std::vector<html::Curve>& runs) {
  html::Curve mean{name, {}, {}};
  for (size_t i = 0; !runs.empty() && i < runs[0].x.size(); ++i) {
    double sum = 0;
    const auto known = [&](const html::Curve& c) { return i < c.x.size() && c.x[i] == runs[0].x[i]; };
    if (!std::all_of(runs.begin(), runs.end(), known)) break;
    for (const html::Curve& c : runs) sum += c.y[i];
    mean.x.push_back(runs[0].x[i]);
    mean.y.push_back(sum / double(runs.size()));
  }
  return mean;
}

// What the runs of a row learned, by steps and by the CPU time of these.
struct LearningCurves {
  std::vector<html::Curve> by_step, by_hours;

  void add(const std::string& row, const std::vector<html::Curve>& runs, double step_seconds) {
    const std::string count = runs.size() > 1 ? ", mean of " + std::to_string(runs.size()) : "";
    by_step.push_back(mean_curve(row + count, runs));
    if (std::isnan(step_seconds)) return;
    by_hours.push_back(by_step.back());
    for (double& x : by_hours.back().x) x *= step_seconds / 3600;
  }
};

LearningCurves learning_curves(const GridPlan& plan, const std::vector<GridCell>& cells, int64_t labeled) {
  LearningCurves curves;
  for (const GridVariant& v : plan.variants) {
    std::vector<html::Curve> runs;
    double step_seconds = 0;
    for (const GridCell& c : cells) {
      if (c.variant->name != v.name || c.labeled != labeled) continue;
      html::Curve run = validation_curve(c.folder);
      if (run.x.empty()) continue;
      runs.push_back(std::move(run));
      step_seconds += recorded_step_seconds(c.folder.string());
    }
    if (!runs.empty()) curves.add(v.name, runs, step_seconds / double(runs.size()));
  }
  return curves;
}

void add_curves(html::Page& page, const GridPlan& plan, const std::vector<GridCell>& cells) {
  for (const int64_t labeled : plan.labeled) {
    const LearningCurves curves = learning_curves(plan, cells, labeled);
    const auto is_curve = [](const html::Curve& c) { return c.x.size() > 1; };
    if (std::none_of(curves.by_step.begin(), curves.by_step.end(), is_curve)) continue;
    page.heading("Validation Dice, " + labeled_text(labeled));
    page.figure(html::plot(curves.by_step, "step"), "");
    if (!curves.by_hours.empty()) page.figure(html::plot(curves.by_hours, "hours of CPU time"), "");
  }
}

// The scores of one run; nullptr where it is missing.
const GridScore* score_of(const GridScores& scores, const GridCell& c) {
  const auto found = scores.find({c.variant->name, c.labeled});
  if (found == scores.end()) return nullptr;
  const auto is_it = [&](const GridScore& s) { return s.seed == c.seed; };
  const auto score = std::find_if(found->second.begin(), found->second.end(), is_it);
  return score == found->second.end() ? nullptr : &*score;
}

void add_runs(html::Page& page, const GridPlan& plan, const GridScores& scores,
    const std::vector<GridCell>& cells, const std::filesystem::path& folder) {
  TableRow head{"method", "cases", "seed"};
  for (const GridColumn& column : plan.columns) head.push_back(column.heading);
  head.push_back("");
  const std::string missing = "<span class=\"bad\">missing</span>";
  std::vector<TableRow> rows;
  size_t there = 0;
  for (const GridCell& c : cells) {
    const GridScore* score = score_of(scores, c);
    there += score != nullptr;
    rows.push_back({in_markup(c.variant->name), labeled_text(c.labeled), std::to_string(c.seed)});
    for (const GridColumn& column : plan.columns)
      rows.back().push_back(score ? mean_and_deviation({score->*column.score}, column.factor) : missing);
    const std::string report = (c.folder.lexically_relative(folder) / run_file::report).generic_string();
    const bool linked = std::filesystem::exists(c.folder / run_file::report);
    rows.back().push_back(linked ? "<a href=\"" + in_markup(report) + "\">report</a>" : "");
  }
  page.heading("Runs");
  page.paragraph(std::to_string(there) + " of " + std::to_string(rows.size()) + " are there.");
  page.table(head, rows);
}

}  // namespace

void write_grid_page(const GridPlan& plan, const GridScores& scores, const std::vector<GridCell>& cells,
    const std::filesystem::path& folder) {
  html::Page page("Grid " + std::filesystem::absolute(folder).filename().string());
  add_table(page, "Scores of the " + plan.weights + " weights: mean and deviation over seeds",
      grid_table(plan, scores));
  add_table(page, "What a step cost", grid_cost_table(plan, scores));
  for (const int64_t l : plan.labeled)
    add_table(page, "By class, " + labeled_text(l), grid_class_table(plan, scores, l));
  if (plan.variants.size() > 1)
    add_table(page, "Differences, paired by seed", grid_differences(plan, scores));
  add_curves(page, plan, cells);
  add_runs(page, plan, scores, cells, folder);
  page.save((folder / "report.html").string());
}

}  // namespace patchcl
