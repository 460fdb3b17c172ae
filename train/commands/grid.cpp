#include "train/commands/grid.h"

#include <cmath>
#include <cstdio>
#include <set>
#include <sstream>

#include "tensor/error.h"

namespace patchcl {

namespace {

std::vector<std::string> words(std::istringstream& line) {
  std::vector<std::string> all;
  for (std::string w; line >> w;) all.push_back(w);
  return all;
}

std::vector<int64_t> integers(const std::vector<std::string>& words, const std::string& where) {
  std::vector<int64_t> all;
  for (const std::string& w : words) {
    size_t used = 0;
    try {
      all.push_back(std::stoll(w, &used));
    } catch (const std::exception&) {}
    if (used != w.size()) fail(ExitCode::usage, "grid", where, ": '", w, "' is no whole number");
  }
  return all;
}

const std::vector<GridScore>& scores_of(
    const GridScores& scores, const std::string& variant, int64_t labeled) {
  static const std::vector<GridScore> none;
  const auto found = scores.find({variant, labeled});
  return found == scores.end() ? none : found->second;
}

void add_cell(std::string& row, const std::string& text) {
  row += ' ';
  row += text;
  row += " |";
}

template <class F>
void add_scores(std::string& row, const std::vector<GridScore>& scores, double factor, F value) {
  std::vector<double> values;
  for (const GridScore& s : scores)
    if (!std::isnan(value(s))) values.push_back(value(s));
  add_cell(row, mean_and_deviation(values, factor));
}

std::string rule(size_t columns) {
  std::string s = "|---|";
  for (size_t i = 0; i < columns; ++i) s += "---:|";
  return s += "\n";
}

}  // namespace

GridPlan parse_plan(const std::string& text, const std::string& path) {
  GridPlan plan;
  std::istringstream lines(text);
  std::set<std::string> names;
  int number = 0;
  for (std::string raw; std::getline(lines, raw);) {
    const std::string where = path + ":" + std::to_string(++number);
    std::istringstream line(raw.substr(0, raw.find('#')));
    std::string key;
    if (!(line >> key)) continue;
    std::vector<std::string> rest = words(line);
    if (key == "labeled") plan.labeled = integers(rest, where);
    else if (key == "seeds") plan.seeds = integers(rest, where);
    else if (key == "train") plan.train.insert(plan.train.end(), rest.begin(), rest.end());
    else if (key == "eval") plan.eval.insert(plan.eval.end(), rest.begin(), rest.end());
    else if (key == "variant" && !rest.empty() && names.insert(rest[0]).second)
      plan.variants.push_back({rest[0], {rest.begin() + 1, rest.end()}});
    else
      fail(ExitCode::usage, "grid", where, ": '", raw,
          "' is none of labeled, seeds, train, eval, or variant with a new name");
  }
  if (plan.labeled.empty() || plan.seeds.empty() || plan.variants.empty())
    fail(ExitCode::usage, "grid", path, " names no labelled cases, no seed or no variant");
  return plan;
}

std::string mean_and_deviation(const std::vector<double>& values, double factor) {
  if (values.empty()) return "-";
  double mean = 0, squares = 0;
  for (double v : values) mean += factor * v / double(values.size());
  for (double v : values) squares += (factor * v - mean) * (factor * v - mean);
  char text[64];
  if (values.size() == 1) std::snprintf(text, sizeof text, "%.2f", mean);
  else std::snprintf(text, sizeof text, "%.2f ± %.2f", mean, std::sqrt(squares / double(values.size() - 1)));
  return text;
}

std::string grid_table(const GridPlan& plan, const GridScores& scores) {
  std::string s = "| method |";
  for (int64_t l : plan.labeled) {
    add_cell(s, "Dice %, " + std::to_string(l) + " labelled");
    add_cell(s, "HD95");
  }
  s += '\n';
  s += rule(2 * plan.labeled.size());
  for (const GridVariant& v : plan.variants) {
    s += '|';
    add_cell(s, v.name);
    for (int64_t l : plan.labeled) {
      const std::vector<GridScore>& of = scores_of(scores, v.name, l);
      add_scores(s, of, 100, [](const GridScore& x) { return x.dice; });
      add_scores(s, of, 1, [](const GridScore& x) { return x.hd95; });
    }
    s += '\n';
  }
  return s;
}

std::string grid_class_table(const GridPlan& plan, const GridScores& scores, int64_t labeled) {
  std::vector<std::string> classes;
  for (const GridVariant& v : plan.variants)
    for (const GridScore& x : scores_of(scores, v.name, labeled))
      if (classes.empty())
        for (const auto& [name, dice] : x.dice_of_class) classes.push_back(name);
  std::string s = "|";
  add_cell(s, "Dice %, " + std::to_string(labeled) + " labelled");
  for (const std::string& name : classes) add_cell(s, name);
  s += '\n';
  s += rule(classes.size());
  for (const GridVariant& v : plan.variants) {
    s += '|';
    add_cell(s, v.name);
    for (const std::string& name : classes)
      add_scores(s, scores_of(scores, v.name, labeled), 100,
          [&](const GridScore& x) { return x.dice_of_class.at(name); });
    s += '\n';
  }
  return s;
}

}  // namespace patchcl
