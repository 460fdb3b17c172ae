#include "train/commands/grid.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstring>
#include <iterator>
#include <map>
#include <utility>

#include "tensor/file.h"
#include "tensor/text.h"
#include "train/options/option_list.h"

namespace patchcl {

namespace {

void add_integers(
    std::vector<int64_t>& all, const std::vector<std::string>& words, const std::string& where) {
  for (const std::string& w : words) {
    size_t used = 0;
    int64_t n = 0;
    try {
      n = std::stoll(w, &used);
    } catch (const std::exception&) {}
    if (used != w.size()) fail(ExitCode::usage, "grid", where, ": '", w, "' is no whole number");
    if (std::find(all.begin(), all.end(), n) != all.end())
      fail(ExitCode::usage, "grid", where, ": ", n, " is there already; a run counts once");
    all.push_back(n);
  }
}

std::vector<GridColumn> columns_of(const std::vector<std::string>& names, const std::string& where) {
  std::string all;
  for (const GridColumn& c : kGridColumns) all.append(all.empty() ? "" : ", ").append(c.name);
  std::vector<GridColumn> columns;
  for (const std::string& name : names) {
    const auto is_it = [&](const GridColumn& c) { return c.name == name; };
    const auto* found = std::find_if(std::begin(kGridColumns), std::end(kGridColumns), is_it);
    if (found == std::end(kGridColumns))
      fail(ExitCode::usage, "grid", where, ": '", name, "' is no column; there are ", all);
    columns.push_back(*found);
  }
  return columns;
}

void add_variant(GridPlan& plan, GridVariant variant) {
  for (const GridVariant& other : plan.variants)
    if (other.name == variant.name)
      fail(ExitCode::usage, "grid", variant.where, ": there is a variant '", variant.name, "' already, at ",
          other.where, "; give one of them another name");
  plan.variants.push_back(std::move(variant));
}

void add_train_line(GridPlan& plan, GridLine line) {
  plan.train.insert(plan.train.end(), line.options.begin(), line.options.end());
  plan.train_lines.push_back(std::move(line));
}

const std::vector<GridScore>& scores_of(
    const GridScores& scores, const std::string& variant, int64_t labeled) {
  static const std::vector<GridScore> none;
  const auto found = scores.find({variant, labeled});
  return found == scores.end() ? none : found->second;
}

template <class F> std::string spread(const std::vector<GridScore>& scores, double factor, F value) {
  std::vector<double> values;
  for (const GridScore& s : scores) values.push_back(value(s));
  return mean_and_deviation(values, factor);
}

std::string student_t(const std::vector<double>& values) {
  const double n = double(values.size());
  if (n < 3) return "-";
  double mean = 0, squares = 0;
  for (const double v : values) mean += v / n;
  for (const double v : values) squares += (v - mean) * (v - mean);
  return squares > 0 ? fixed(mean / std::sqrt(squares / (n - 1) / n), 1) : "-";
}

}  // namespace

std::vector<std::string> words(const std::string& text, const std::string& where) {
  std::vector<std::string> all;
  char quote = 0;
  bool within = false;  // a word
  for (size_t i = 0; i < text.size() && (quote || text[i] != '#'); ++i) {
    const bool blank = std::isspace(static_cast<unsigned char>(text[i]));
    if (!quote && blank) {
      within = false;
      continue;
    }
    if (!within) all.emplace_back();
    within = true;
    const bool escapes =
        !quote && text[i] == '\\' && i + 1 < text.size() && std::strchr("'\" #", text[i + 1]);
    if (escapes) all.back() += text[++i];
    else if (text[i] == quote) quote = 0;
    else if (!quote && (text[i] == '\'' || text[i] == '"')) quote = text[i];
    else all.back() += text[i];
  }
  if (quote) fail(ExitCode::usage, "grid", where, ": a quote ", quote, " has no end");
  return all;
}

std::string labeled_text(int64_t labeled) {
  return (labeled == -1 ? "all" : std::to_string(labeled)) + " labelled";
}

void refuse_options_of_grid(const std::vector<std::string>& options, const std::string& where) {
  static const std::map<std::string, std::string> kSaidBy{{"--labeled", "the line 'labeled'"},
      {"--seed", "the line 'seeds'"}, {"--out", "the grid's own --out, with a folder for each run"},
      {"--weights", "the line 'weights', best or last"}, {"--json", "the grid, which keeps the scores"}};
  for (const std::string& word : options)
    if (const auto own = kSaidBy.find(word.substr(0, word.find('='))); own != kSaidBy.end())
      fail(ExitCode::usage, "grid", where, ": ", word, " has no effect: it is said by ", own->second,
          "; leave it out");
}

GridPlan parse_plan(const std::string& text, const std::string& path) {
  GridPlan plan;
  TextIn lines(text);
  int number = 0;
  for (std::string raw; std::getline(lines, raw);) {
    const std::string where = path + ":" + std::to_string(++number);
    std::vector<std::string> rest = words(raw, where);
    if (rest.empty()) continue;
    const std::string key = rest.front();
    rest.erase(rest.begin());
    refuse_options_of_grid(rest, where);
    if (key == "labeled") add_integers(plan.labeled, rest, where);
    else if (key == "seeds") add_integers(plan.seeds, rest, where);
    else if (key == "train") add_train_line(plan, {rest, where});
    else if (key == "eval") plan.eval.insert(plan.eval.end(), rest.begin(), rest.end());
    else if (key == "weights" && rest.size() == 1 && (rest[0] == "best" || rest[0] == "last"))
      plan.weights = rest[0];
    else if (key == "columns" && !rest.empty()) plan.columns = columns_of(rest, where);
    else if (key == "variant" && !rest.empty() && rest[0] == file_name_of(rest[0]))
      add_variant(plan, {rest[0], {rest.begin() + 1, rest.end()}, where});
    else
      fail(ExitCode::usage, "grid", where, ": '", raw,
          "' is none of labeled, seeds, train, eval, weights best or last, columns with names of scores, or "
          "variant with a name (without '/', which names a folder)",
          did_you_mean(key, {"labeled", "seeds", "train", "eval", "weights", "columns", "variant"}));
  }
  if (plan.labeled.empty() || plan.seeds.empty() || plan.variants.empty())
    fail(ExitCode::usage, "grid", path, " names no labelled cases, no seed or no variant");
  return plan;
}

std::string mean_and_deviation(std::vector<double> values, double factor) {
  std::erase_if(values, [](double v) { return std::isnan(v); });
  if (values.empty()) return "-";
  double mean = 0, squares = 0;
  for (double v : values) mean += factor * v / double(values.size());
  for (double v : values) squares += (factor * v - mean) * (factor * v - mean);
  if (values.size() == 1) return fixed(mean, 2);
  return fixed(mean, 2) + " ± " + fixed(std::sqrt(squares / double(values.size() - 1)), 2);
}

GridTable grid_table(const GridPlan& plan, const GridScores& scores) {
  TableRow head{"method"};
  for (int64_t l : plan.labeled)
    for (const GridColumn& c : plan.columns) {
      const bool first = &c == &plan.columns.front();
      head.push_back(c.heading + (first ? ", " + labeled_text(l) : std::string()));
    }
  std::vector<TableRow> rows;
  for (const GridVariant& v : plan.variants) {
    rows.push_back({v.name});
    for (int64_t l : plan.labeled)
      for (const GridColumn& c : plan.columns)
        rows.back().push_back(
            spread(scores_of(scores, v.name, l), c.factor, [&](const GridScore& x) { return x.*c.score; }));
  }
  return {head, rows};
}

GridTable grid_class_table(const GridPlan& plan, const GridScores& scores, int64_t labeled) {
  TableRow head{"Dice %, " + labeled_text(labeled)};
  for (const GridVariant& v : plan.variants)
    for (const GridScore& x : scores_of(scores, v.name, labeled))
      if (head.size() == 1)
        for (const auto& [name, dice] : x.dice_of_class) head.push_back(name);
  std::vector<TableRow> rows;
  for (const GridVariant& v : plan.variants) {
    rows.push_back({v.name});
    for (size_t k = 1; k < head.size(); ++k)
      rows.back().push_back(spread(scores_of(scores, v.name, labeled), 100,
          [&](const GridScore& x) { return x.dice_of_class.at(head[k]); }));
  }
  return {head, rows};
}

GridTable grid_cost_table(const GridPlan& plan, const GridScores& scores) {
  TableRow head{"CPU ms a step"};
  for (int64_t l : plan.labeled) head.push_back(labeled_text(l));
  std::vector<TableRow> rows;
  for (const GridVariant& v : plan.variants) {
    rows.push_back({v.name});
    for (int64_t l : plan.labeled)
      rows.back().push_back(
          spread(scores_of(scores, v.name, l), 1000, [](const GridScore& x) { return x.step_seconds; }));
  }
  return {head, rows};
}

GridTable grid_differences(const GridPlan& plan, const GridScores& scores) {
  const std::string first = plan.variants.front().name;
  const GridColumn column = plan.columns.front();
  GridTable table{{std::string(column.heading) + " minus " + first}, {}};
  for (int64_t l : plan.labeled)
    for (const std::string& what : {labeled_text(l), std::string("t"), std::string("seeds")})
      table.head.push_back(what);
  for (size_t v = 1; v < plan.variants.size(); ++v) {
    table.rows.push_back({plan.variants[v].name});
    for (int64_t l : plan.labeled) {
      std::vector<double> differences;
      for (const GridScore& a : scores_of(scores, plan.variants[v].name, l))
        for (const GridScore& b : scores_of(scores, first, l))
          if (const double d = a.*column.score - b.*column.score; a.seed == b.seed && !std::isnan(d))
            differences.push_back(d);
      for (const std::string& cell : {mean_and_deviation(differences, column.factor), student_t(differences),
               std::to_string(differences.size())})
        table.rows.back().push_back(cell);
    }
  }
  return table;
}

}  // namespace patchcl
