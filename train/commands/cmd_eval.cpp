// patchcl eval: segments the held-out cases of a data set and prints Dice, Jaccard, HD95 and ASD.
#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

#include "train/commands/command.h"
#include "tensor/file.h"
#include "train/commands/inference_flags.h"
#include "train/evaluate/report.h"
#include "train/evaluate/table.h"

namespace patchcl {

namespace {

using nlohmann::ordered_json;

struct EvalFlags {
  InferenceFlags inference;
  std::string data, spacing = "voxel", empty = "nan", preset, json, csv;
  int64_t validation = -1;
};

MetricOptions metric_options(const EvalFlags& f) {
  if (f.preset == "ssl4mis") return MetricOptions::ssl4mis();
  static const std::map<std::string, EmptyRule> rules{
      {"nan", EmptyRule::nan}, {"zero", EmptyRule::zero}, {"penalty", EmptyRule::penalty}};
  return {f.spacing == "mm" ? Spacing::mm : Spacing::voxel, rules.at(f.empty)};
}

// Foreground names: those of the weights, else of the data, else numbers.
std::vector<std::string> foreground_names(const ModelInfo& info, const std::vector<std::string>& of_data) {
  std::vector<std::string> names = info.class_names.empty() ? distinct(of_data) : info.class_names;
  for (int64_t c = int64_t(names.size()); c < info.unet.classes; ++c)
    names.push_back("class " + std::to_string(c));
  return {names.begin() + 1, names.begin() + info.unet.classes};
}

// ---- table ----

std::string cell(double value, double factor) {
  char text[32];
  if (std::isnan(value)) return "      -";
  std::snprintf(text, sizeof text, "%7.2f", factor * value);
  return text;
}

std::string cells(const Scores& s) {
  return cell(s.dice, 100) + cell(s.jaccard, 100) + cell(s.hd95, 1) + cell(s.asd, 1);
}

void print_row(const std::string& name, size_t width, const std::vector<Scores>& classes) {
  std::printf("%-*s", int(width), printable(name).c_str());
  for (const Scores& s : classes) std::printf(" |%s", cells(s).c_str());
  std::printf("\n");
}

void print_table(
    const Summary& summary, const std::vector<std::string>& names, const MetricOptions& options) {
  size_t width = 18;
  for (const CaseScores& c : summary.cases) width = std::max(width, c.id.size());
  std::printf("%-*s", int(width), "");
  for (const std::string& name : names) std::printf(" | %-27s", printable(name).substr(0, 27).c_str());
  std::printf("\n%-*s", int(width), "case");
  for (size_t i = 0; i < names.size(); ++i) std::printf(" | Dice %% Jacc %%   HD95    ASD");
  std::printf("\n");
  for (const CaseScores& c : summary.cases) print_row(c.id, width, c.classes);
  print_row("mean of " + std::to_string(summary.cases.size()) + " cases", width, summary.classes);
  const std::string mean = cells(summary.mean);
  std::printf("%-*s |%s\n", int(width), "mean of classes", mean.c_str());
  std::printf("conventions: %s\n", describe(options).c_str());
  if (summary.undefined)
    std::printf("%lld undefined values (-) are in no mean\n", static_cast<long long>(summary.undefined));
}

// ---- JSON and CSV ----

ordered_json to_json(const std::vector<Scores>& classes, const std::vector<std::string>& names) {
  ordered_json j;
  for (size_t i = 0; i < names.size(); ++i) j[names[i]] = scores_json(classes[i]);
  return j;
}

ordered_json to_json(const Summary& summary, const std::vector<std::string>& names, const EvalFlags& flags,
    const MetricOptions& options) {
  ordered_json j{
      {"weights", flags.inference.weights}, {"data", flags.data}, {"conventions", describe(options)}};
  for (const CaseScores& c : summary.cases)
    j["cases"].push_back({{"id", c.id}, {"classes", to_json(c.classes, names)}});
  j["mean_of_cases"] = to_json(summary.classes, names);
  j["mean_of_classes"] = scores_json(summary.mean);
  j["undefined"] = summary.undefined;
  return j;
}

std::string to_csv(const Summary& summary, const std::vector<std::string>& names) {
  std::ostringstream s;
  s.precision(17);
  s << "case,class,dice,jaccard,hd95,asd\n";
  const auto row = [&](const std::string& id, const std::string& name, const Scores& v) {
    s << csv_cell(id) << ',' << csv_cell(name) << ',' << v.dice << ',' << v.jaccard << ',' << v.hd95 << ','
      << v.asd << '\n';
  };
  for (const CaseScores& c : summary.cases)
    for (size_t i = 0; i < names.size(); ++i) row(c.id, names[i], c.classes[i]);
  for (size_t i = 0; i < names.size(); ++i) row("mean", names[i], summary.classes[i]);
  row("mean", "mean", summary.mean);
  return s.str();
}

// A name that is not UTF-8 is written with signs of replacement.
std::string to_text(const ordered_json& j) {
  return j.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

void write(const std::string& path, const std::string& text) {
  if (path == "-") std::cout << text;
  else write_text(path, text);
}

int eval(const EvalFlags& flags) {
  const MetricOptions metrics = metric_options(flags);
  const Arena arena("evaluation");
  const auto model = flags.inference.load(arena);
  DatasetOptions options;
  options.validation = flags.validation;
  options.classes = model->info.unet.classes;
  const Dataset data = Dataset::open(flags.data, options);
  const int64_t count = data.validation_cases();
  if (count == 0)
    fail(ExitCode::data, "eval", flags.data, " has no held-out case; say how many to hold out with --val");
  const Summary summary = validate(
      model->unet, model->weights, count, [&](int64_t i) { return data.validation(i); },
      flags.inference.resolve(model->info), metrics, arena);
  const std::vector<std::string> names = foreground_names(model->info, data.class_names());
  if (flags.json != "-" && flags.csv != "-") print_table(summary, names, metrics);
  if (!flags.json.empty()) write(flags.json, to_text(to_json(summary, names, flags, metrics)));
  if (!flags.csv.empty()) write(flags.csv, to_csv(summary, names));
  return int(ExitCode::ok);
}

const AddCommand add{{20, "eval", "Score a network on the held-out cases of a data set",
    "Examples:\n"
    "  patchcl eval --data acdc --weights runs/acdc/best.safetensors --preset ssl4mis\n"
    "  patchcl eval --data hippocampus --val 20 --weights best.safetensors --spacing mm --empty penalty "
    "--json scores.json\n",
    [](CLI::App& app) -> std::function<int()> {
      auto flags = std::make_shared<EvalFlags>();
      flags->inference.add(app);
      app.add_option("--data", flags->data, "Folder of a data set, or phantom[:...]")->required();
      app.add_option("--val", flags->validation,
             "Cases to hold out where no list says which (the last ones); -1: one in five")
          ->capture_default_str();
      app.add_option("--spacing", flags->spacing, "Unit of HD95 and ASD: voxel (as SSL4MIS) or mm")
          ->check(CLI::IsMember({"voxel", "mm"}))
          ->capture_default_str();
      app.add_option("--empty", flags->empty,
             "Score of a class that the prediction or the reference lacks. nan: Dice 0, distances undefined, "
             "both "
             "lacking: undefined; zero: all 0; penalty: Dice 0, distances = image diagonal, both lacking: "
             "Dice 1")
          ->check(CLI::IsMember({"nan", "zero", "penalty"}))
          ->capture_default_str();
      app.add_option(
             "--preset", flags->preset, "ssl4mis: --spacing voxel --empty zero, as its published tables")
          ->check(CLI::IsMember({"ssl4mis"}))
          ->excludes("--spacing", "--empty");
      app.add_option("--json", flags->json,
          "Also write all numbers as JSON; -: to standard output instead of the table");
      app.add_option(
          "--csv", flags->csv, "Also write all numbers as CSV; -: to standard output instead of the table");
      return [flags] { return eval(*flags); };
    }}};

}  // namespace

}  // namespace patchcl
