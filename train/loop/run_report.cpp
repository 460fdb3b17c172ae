#include "train/loop/run_report.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iomanip>
#include <map>

#include "tensor/file.h"
#include "tensor/json.h"
#include "tensor/text.h"
#include "train/evaluate/table.h"
#include "train/methods/terms.h"
#include "train/setup/run_folder.h"

namespace patchcl {

namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

// The text of a file of the folder; empty when there is none.
std::string text_of(const fs::path& path) {
  return fs::exists(path) ? read_text(path.string(), ExitCode::io) : std::string();
}

ordered_json json_in(const std::string& text) { return parse_json<ordered_json>(text); }

// What was logged: a line for each name, in their order.
class LoggedCurves {
 public:
  void add(const std::string& name, double x, const ordered_json& y) {
    if (!y.is_number()) return;
    if (!places_.count(name)) {
      places_[name] = lines_.size();
      lines_.push_back({name, {}, {}});
    }
    html::Curve& line = lines_[places_[name]];
    line.x.push_back(x);
    line.y.push_back(y.get<double>());
  }
  // Those whose names begin so, without that beginning.
  std::vector<html::Curve> of(const std::string& prefix) const {
    std::vector<html::Curve> some;
    for (const html::Curve& l : lines_)
      if (l.name.starts_with(prefix)) some.push_back({l.name.substr(prefix.size()), l.x, l.y});
    return some;
  }

 private:
  std::vector<html::Curve> lines_;
  std::map<std::string, size_t> places_;
};

// Which plot a number of metrics.jsonl belongs to.
std::string plot_of(const std::string& name) {
  if (name == "lr") return "rate ";
  return is_reading(name) ? "reading " : "term ";
}

void read_metrics(const ordered_json& row, LoggedCurves& curves) {
  if (!row.is_object() || !row.contains("iteration") || !row["iteration"].is_number()) return;
  const double x = row["iteration"].get<double>();
  for (const auto& [name, value] : row.items())
    if (name != "iteration") curves.add(plot_of(name) + name, x, value);
  if (!row.contains("validation") || !row["validation"].is_object()) return;
  const ordered_json &scores = row["validation"], none = ordered_json::object();
  const ordered_json& mean = scores.contains("mean") ? scores["mean"] : none;
  if (mean.is_object() && mean.contains("dice")) curves.add("Dice mean", x, mean["dice"]);
  const ordered_json& classes = scores.contains("classes") ? scores["classes"] : none;
  for (const auto& [c, of_class] : classes.items())
    if (of_class.is_object() && of_class.contains("dice")) curves.add("Dice " + c, x, of_class["dice"]);
}

// Of each term the norm of its weighted gradient: layers share no parameter.
void read_audit(const ordered_json& row, LoggedCurves& curves) {
  if (!row.is_object() || !row.contains("iteration") || !row["iteration"].is_number()) return;
  const ordered_json none = ordered_json::object(), terms = row.value("terms", none);
  for (const ordered_json& term : terms) {
    if (!term.is_object() || !term.contains("name") || !term["name"].is_string()) continue;
    double norm = 0;
    for (const ordered_json& of_layer : term.value("gradient_norm", none))
      if (of_layer.is_number()) norm = std::hypot(norm, of_layer.get<double>());
    curves.add(term["name"].get<std::string>(), row["iteration"].get<double>(), norm);
  }
}

// What `read` finds in the lines of a log.
LoggedCurves read_curves(const fs::path& log, void read(const ordered_json&, LoggedCurves&)) {
  LoggedCurves curves;
  TextIn lines(text_of(log));
  for (std::string line; std::getline(lines, line);) read(json_in(line), curves);
  return curves;
}

std::string words_of(const ordered_json& list) {
  std::string all;
  for (const ordered_json& word : list)
    if (word.is_string()) all.append(all.empty() ? "" : " ").append(word.get<std::string>());
  return all;
}

void add_what_ran(html::Page& page, const ordered_json& runs) {
  if (!runs.is_array() || runs.empty()) return;
  page.heading("What ran");
  std::vector<std::vector<std::string>> rows;
  for (const ordered_json& run : runs) {
    if (!run.is_object()) continue;
    for (const auto& [name, value] : run.items()) {
      std::string words = name;
      std::replace(words.begin(), words.end(), '_', ' ');
      const std::string shown = value.is_string() ? value.get<std::string>() : value.dump();
      rows.push_back({in_markup(words), in_markup(value.is_array() ? words_of(value) : shown)});
    }
  }
  page.table({"", ""}, rows);
}

void add_curves(html::Page& page, const LoggedCurves& curves) {
  const std::vector<std::pair<std::string, std::string>> plots{{"Dice ", "Validation Dice by class"},
      {"term ", "Losses, terms of the total before their weights"}, {"reading ", "Weights and shares"},
      {"rate ", "Learning rate"}};
  for (const auto& [prefix, title] : plots) {
    const std::vector<html::Curve> lines = curves.of(prefix);
    if (lines.empty()) continue;
    page.heading(title);
    page.figure(html::plot(lines, "step"), "");
  }
}

// Where a run was audited. Terms differ by decades, and a name says the last of its norms.
void add_gradient_norms(html::Page& page, const LoggedCurves& curves) {
  std::vector<html::Curve> lines = curves.of("");
  if (lines.empty()) return;
  for (html::Curve& l : lines) {
    TextOut name;
    name << l.name << ", last " << std::setprecision(3) << l.y.back();
    l.name = name.str();
  }
  page.heading("Gradient norms by loss term, with the terms' weights, where the run was audited");
  page.figure(html::plot(lines, "step", /*logarithmic=*/true), "");
}

void add_scores(html::Page& page, const std::string& whose, const ordered_json& scores) {
  if (!scores.is_object() || !scores.contains("mean")) return;
  page.heading("Scores of the " + whose + " on the held-out cases");
  std::vector<std::vector<std::string>> rows;
  const auto add = [&](const std::string& name, const ordered_json& s) {
    std::vector<std::string> row{in_markup(name)};
    for (const auto& [key, digits] : {std::pair{"dice", 4}, {"jaccard", 4}, {"hd95", 2}, {"asd", 2}}) {
      const bool known = s.is_object() && s.contains(key) && s[key].is_number();
      row.push_back(known ? fixed(s[key].get<double>(), digits) : "-");
    }
    rows.push_back(row);
  };
  const ordered_json none = ordered_json::object();
  const ordered_json& classes = scores.contains("classes") ? scores["classes"] : none;
  for (const auto& [name, s] : classes.items()) add(name, s);
  add("mean", scores["mean"]);
  page.table({"class", "Dice", "Jaccard", "HD95", "ASD"}, rows);
  const ordered_json& conventions = scores.contains("conventions") ? scores["conventions"] : none;
  if (conventions.is_string()) page.paragraph(conventions.get<std::string>());
}

// "patches-400.svg" is of step 400; 0 where the name has none.
int64_t step_of(const fs::path& picture) {
  const std::string stem = picture.stem().string();
  const size_t dash = stem.rfind('-');
  return dash == std::string::npos ? 0 : std::atoll(stem.c_str() + dash + 1);
}

// The pictures of a folder in the order of their names; of those that differ in a step only the last.
std::vector<fs::path> pictures_in(const fs::path& folder, bool by_step) {
  std::vector<fs::path> all;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(folder, none))
    if (entry.path().extension() == ".png" || entry.path().extension() == ".svg") all.push_back(entry.path());
  std::sort(all.begin(), all.end());
  if (!by_step) return all;
  std::map<std::string, std::pair<int64_t, fs::path>> last;
  for (const fs::path& p : all) {
    const std::string stem = p.stem().string(), kind = stem.substr(0, stem.rfind('-'));
    const int64_t step = step_of(p);
    if (!last.count(kind) || step >= last[kind].first) last[kind] = {step, p};
  }
  all.clear();
  for (const auto& [kind, step] : last) all.push_back(step.second);
  return all;
}

// Of the overlays those of one case at several steps, in their order, or the others.
std::vector<fs::path> those(std::vector<fs::path> overlays, bool over_time) {
  std::erase_if(
      overlays, [&](const fs::path& p) { return p.stem().string().starts_with("first-") != over_time; });
  if (over_time)
    std::sort(overlays.begin(), overlays.end(),
        [](const fs::path& a, const fs::path& b) { return step_of(a) < step_of(b); });
  return overlays;
}

void add_pictures(html::Page& page, const std::string& title, const std::vector<fs::path>& pictures) {
  if (pictures.empty()) return;
  page.heading(title);
  for (const fs::path& p : pictures) page.figure(html::picture(p.string()), p.stem().string());
}

}  // namespace

html::Curve validation_curve(const std::string& folder) {
  for (const html::Curve& c : read_curves(fs::path(folder) / run_file::metrics, read_metrics).of("Dice "))
    if (c.name == "mean") return c;
  return {};
}

void write_run_report(const std::string& folder, const std::string& results) {
  const fs::path dir(folder);
  const std::string config = text_of(dir / run_file::config);
  if (config.empty())
    fail(ExitCode::usage, "report", folder, " holds no run (", run_file::config,
        " is missing); give the --out of a training");
  html::Page page("Run " + fs::absolute(dir / ".").parent_path().filename().string());
  const std::string last = results.empty() ? text_of(dir / run_file::results) : results,
                    best = text_of(dir / run_file::best_scores);
  if (best != last) add_scores(page, "best weights, which eval and predict take,", json_in(best));
  add_scores(page, best == last ? "last weights, which are the best," : "last weights", json_in(last));
  add_curves(page, read_curves(dir / run_file::metrics, read_metrics));
  add_gradient_norms(page, read_curves(dir / run_file::audits, read_audit));
  const std::vector<fs::path> overlays = pictures_in(dir / run_file::overlays, false);
  add_pictures(page, "Held-out cases: the best and the worst", those(overlays, /*over_time=*/false));
  add_pictures(page, "One held-out case over time", those(overlays, /*over_time=*/true));
  add_pictures(page, "What the method sees", pictures_in(dir / run_file::pictures, true));
  add_what_ran(page, json_in(text_of(dir / run_file::record)));
  page.heading("Options, all of them");
  page.preformatted(config);
  page.save((dir / run_file::report).string());
}

}  // namespace patchcl
