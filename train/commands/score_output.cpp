#include "train/commands/score_output.h"

#include <CLI/CLI.hpp>
#include <cmath>
#include <iostream>
#include <map>

#include "tensor/file.h"
#include "tensor/text.h"
#include "train/evaluate/report.h"
#include "train/evaluate/table.h"
#include "train/evaluate/terminal.h"

namespace patchcl {

namespace {

using nlohmann::ordered_json;

// `value` with two digits, to the right of seven columns.
std::string cell(double value, double factor) {
  const std::string text = std::isnan(value) ? "-" : fixed(factor * value, 2);
  return std::string(text.size() < 7 ? 7 - text.size() : 0, ' ') + text;
}

std::string cells(const Scores& s) {
  return cell(s.dice, 100) + cell(s.jaccard, 100) + cell(s.hd95, 1) + cell(s.asd, 1);
}

std::string row(const std::string& name, size_t width, const std::vector<Scores>& classes) {
  std::string line = padded(printable(name), width);
  for (const Scores& s : classes) line += " |" + cells(s);
  return line + "\n";
}

std::string conventions(const std::string& what, const About& about) {
  const std::string with = about.unusual.empty() ? "" : "; with" + about.unusual;
  return wrapped("conventions: " + what + printable(with), terminal_width(stdout), 2) + "\n";
}

std::string pooled(const Summary& summary, const std::vector<std::string>& names) {
  std::string s = "pixel accuracy %" + cell(summary.accuracy, 100) + ", mean of cases\n";
  for (size_t i = 0; i < names.size(); ++i) {
    const Counts& c = summary.counts[i];
    s += "voxels of all cases, " + printable(names[i]) + ": pooled Dice %" + cell(c.dice(), 100) +
         "  sensitivity %" + cell(c.sensitivity(), 100) + "  specificity %" + cell(c.specificity(), 100) +
         "\n";
  }
  return s;
}

std::string table(const Summary& summary, const std::vector<std::string>& names, const MetricOptions& options,
    const About& about) {
  size_t width = 18;
  for (const CaseScores& c : summary.cases) width = std::max(width, columns(printable(c.id)));
  std::string s = padded("", width);
  for (const std::string& name : names) s += " | " + padded(first_columns(printable(name), 27), 27);
  s += "\n" + padded("case", width);
  for (size_t i = 0; i < names.size(); ++i) s += " | Dice % Jacc %   HD95    ASD";
  s += "\n";
  for (const CaseScores& c : summary.cases) s += row(c.id, width, c.classes);
  s += row("mean of " + counted(int64_t(summary.cases.size()), "case"), width, summary.classes);
  s += row("mean of classes", width, {summary.mean}) + pooled(summary, names);
  s += conventions(describe(options), about);
  if (summary.undefined) s += "in no mean: " + counted(summary.undefined, "undefined value") + " (-)\n";
  return s;
}

ordered_json number(double v) { return std::isfinite(v) ? ordered_json(v) : ordered_json(); }

ordered_json to_json(const std::vector<Scores>& classes, const std::vector<std::string>& names) {
  ordered_json j;
  for (size_t i = 0; i < names.size(); ++i) j[names[i]] = scores_json(classes[i]);
  return j;
}

// Of one case: its voxels counted too.
ordered_json to_json(const CaseScores& c, const std::vector<std::string>& names) {
  ordered_json j = to_json(c.classes, names);
  for (size_t i = 0; i < names.size(); ++i)
    j[names[i]].update({{"sensitivity", number(c.counts[i].sensitivity())},
        {"specificity", number(c.counts[i].specificity())}});
  return j;
}

ordered_json to_json(const Counts& c) {
  return {{"dice", number(c.dice())}, {"sensitivity", number(c.sensitivity())},
      {"specificity", number(c.specificity())}};
}

std::string to_csv(const Summary& summary, const std::vector<std::string>& names) {
  TextOut s;
  s.precision(17);
  s << "case,class,dice,jaccard,hd95,asd,sensitivity,specificity,pixel_accuracy\n";
  const auto line = [&](const std::string& id, const std::string& name, const Scores& v) -> std::ostream& {
    s << csv_cell(id) << ',' << csv_cell(name);
    return s << ',' << v.dice << ',' << v.jaccard << ',' << v.hd95 << ',' << v.asd << ',';
  };
  for (const CaseScores& c : summary.cases)
    for (size_t i = 0; i < names.size(); ++i)
      line(c.id, names[i], c.classes[i])
          << c.counts[i].sensitivity() << ',' << c.counts[i].specificity() << ',' << c.accuracy << '\n';
  for (size_t i = 0; i < names.size(); ++i) line("mean", names[i], summary.classes[i]) << ",,\n";
  line("mean", "mean", summary.mean) << ",," << summary.accuracy << '\n';
  for (size_t i = 0; i < names.size(); ++i) {
    const Counts& c = summary.counts[i];
    s << "pooled," << csv_cell(names[i]) << ',' << c.dice() << ",,,," << c.sensitivity() << ','
      << c.specificity() << ",\n";
  }
  return s.str();
}

ordered_json to_json(const ObjectScores& s) {
  return {{"f1", s.f1}, {"dice", s.dice}, {"hausdorff", s.hausdorff}};
}
ordered_json to_json(const ObjectScores& scores, const ObjectSums& sums) {
  ordered_json j = to_json(scores);
  j.update({{"tp", sums.tp}, {"fp", sums.fp}, {"fn", sums.fn}});
  return j;
}

std::string object_conventions(Spacing spacing) {
  const std::string unit = spacing == Spacing::voxel ? "pixels" : "mm (the file's spacing)";
  return "object F1, Dice and Hausdorff of the GlaS challenge, Hausdorff in " + unit +
         "; true positive: more than half of the reference's object; one map empty: 0, 0, image "
         "diagonal; per image: mean of the images' scores; pooled: all objects of all images together";
}

void emit(const std::string& path, const std::string& text) {
  if (path == "-") std::cout << text;
  else if (!path.empty()) write_text(path, text);
}

}  // namespace

void ScoreOutput::add(CLI::App& app) {
  CLI::Option* unit = app.add_option("--spacing", spacing, "Unit of distances: voxel (as SSL4MIS) or mm")
                          ->check(CLI::IsMember({"voxel", "mm"}))
                          ->capture_default_str();
  CLI::Option* rule =
      app.add_option("--empty", empty,
             "Score of a class that the prediction or the reference lacks. nan: Dice 0, distances undefined, "
             "both lacking: undefined; zero: all 0; penalty: Dice 0, distances = image diagonal, both "
             "lacking: Dice 1")
          ->check(CLI::IsMember({"nan", "zero", "penalty"}))
          ->capture_default_str();
  app.add_option("--preset", preset, "ssl4mis: --spacing voxel --empty zero, as its published tables")
      ->check(CLI::IsMember({"ssl4mis"}))
      ->excludes(unit, rule);
  app.add_option(
      "--json", json, "Also write all numbers as JSON; -: to standard output instead of the table");
  app.add_option("--csv", csv, "Also write all numbers as CSV; -: to standard output instead of the table");
}

void ScoreOutput::prepare() const {
  if (!json.empty() && json == csv)
    fail(ExitCode::usage, "score", "--json and --csv would both write to ",
        json == "-" ? "standard output" : "'" + json + "'", "; give one of them another name");
  for (const std::string& path : {json, csv})
    if (!path.empty() && path != "-") make_folder_of(path);
}

MetricOptions ScoreOutput::metrics() const {
  if (preset == "ssl4mis") return MetricOptions::ssl4mis();
  static const std::map<std::string, EmptyRule> rules{
      {"nan", EmptyRule::nan}, {"zero", EmptyRule::zero}, {"penalty", EmptyRule::penalty}};
  return {spacing == "mm" ? Spacing::mm : Spacing::voxel, rules.at(empty)};
}

void ScoreOutput::write(
    const std::string& table, const ordered_json& numbers, const std::string& rows) const {
  if (json != "-" && csv != "-") std::cout << table;
  emit(json, numbers.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
  emit(csv, rows);
}

void ScoreOutput::write(
    const Summary& summary, const std::vector<std::string>& names, const About& about) const {
  ordered_json j = about.json;
  j["conventions"] = describe(metrics());
  for (const CaseScores& c : summary.cases)
    j["cases"].push_back(
        {{"id", c.id}, {"classes", to_json(c, names)}, {"pixel_accuracy", number(c.accuracy)}});
  j["mean_of_cases"] = to_json(summary.classes, names);
  j["mean_of_classes"] = scores_json(summary.mean);
  j["undefined"] = summary.undefined;
  j["pixel_accuracy"] = number(summary.accuracy);
  for (size_t i = 0; i < names.size(); ++i) j["pooled"][names[i]] = to_json(summary.counts[i]);
  write(table(summary, names, metrics(), about), j, to_csv(summary, names));
}

void ScoreOutput::write(const ObjectSummary& summary, const About& about) const {
  const std::string how = object_conventions(metrics().spacing);
  ordered_json j = about.json;
  j["object_conventions"] = how;
  size_t width = 30;
  for (const ObjectSummary::Image& image : summary.images)
    width = std::max(width, columns(printable(image.id)));
  std::string text = padded("objects of image", width) + " |   F1 % Dice %  Hausd | TP,FP,FN\n";
  TextOut rows;
  rows.precision(17);
  rows << "image,f1,dice,hausdorff,tp,fp,fn\n";
  const auto add = [&](const std::string& name, const ObjectScores& s, const std::string& counts) {
    text += padded(printable(name), width) + " |" + cell(s.f1, 100) + cell(s.dice, 100) +
            cell(s.hausdorff, 1) + " | " + counts + "\n";
    rows << csv_cell(name) << ',' << s.f1 << ',' << s.dice << ',' << s.hausdorff << ',' << counts << '\n';
  };
  const auto counts = [](const ObjectSums& s) {
    return std::to_string(s.tp) + "," + std::to_string(s.fp) + "," + std::to_string(s.fn);
  };
  for (const ObjectSummary::Image& image : summary.images) {
    add(image.id, object_scores(image.sums), counts(image.sums));
    j["images"].push_back(to_json(object_scores(image.sums), image.sums));
    j["images"].back()["id"] = image.id;
  }
  add("per image", summary.mean, ",,");
  add("pooled", summary.pooled, counts(summary.total));
  j["per_image"] = to_json(summary.mean);
  j["pooled"] = to_json(summary.pooled, summary.total);
  write(text + conventions(how, about), j, rows.str());
}

void describe_objects(const ObjectOptions& o, const ObjectOptions& usual, About& about) {
  about.add("min-size", o.least, usual.least);
  about.add("fill-holes", o.fill_holes, usual.fill_holes);
  about.add("border-class", o.border_class, usual.border_class);
  about.add("border-width", o.border_width, usual.border_width);
}

void add_object_options(CLI::App& app, ObjectOptions& options, const std::string& objects) {
  app.add_option("--min-size", options.least, "Pixels of the smallest object")
      ->check(CLI::NonNegativeNumber)
      ->needs(objects)
      ->capture_default_str();
  app.add_option("--fill-holes", options.fill_holes, "Holes of an object belong to it")
      ->needs(objects)
      ->capture_default_str();
  app.add_option("--border-class", options.border_class,
         "Class that keeps touching objects apart and that they grow into; 0: none")
      ->check(CLI::Range(0, 255))
      ->needs(objects)
      ->capture_default_str();
  app.add_option("--border-width", options.border_width, "Pixels that objects grow into the border class")
      ->check(CLI::NonNegativeNumber)
      ->needs(objects)
      ->capture_default_str();
}

}  // namespace patchcl
