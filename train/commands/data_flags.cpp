#include "train/commands/data_flags.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>
#include <optional>

#include "tensor/file.h"
#include "train/commands/run_data.h"
#include "train/commands/score_output.h"
#include "train/setup/config.h"

namespace patchcl {

namespace {
namespace fs = std::filesystem;

const Names<Split> kSplits{{"train", Split::train}, {"val", Split::validation}, {"test", Split::test}};

// Those of `list` that a run had otherwise than they are by default, and that the command line leaves out.
OptionValues asked_of_run(
    const CLI::App& app, const OptionList& list, const std::map<std::string, std::string>& run) {
  OptionValues asked;
  for (const auto& [name, usual] : list.values()) {
    const auto found = run.find(name);
    if (app.count("--" + name) == 0 && found != run.end() && found->second != usual) asked.push_back(*found);
  }
  return asked;
}

std::string in_words(const OptionValues& options) {
  std::string all;
  for (const auto& [name, value] : options) all += (all.empty() ? "--" : " --") + name + " " + value;
  return all.empty() ? "the usual split" : all;
}

// Whether the command line says which cases are held out, and does not leave it to the run.
bool says_held_out(const CLI::App& app) {
  return app.count("--val") + app.count("--tune") + app.count("--fold") > 0;
}

// What the run held out, cases that it trained on may be now.
void tell_changed(const RunData& run, const std::string& data, bool said) {
  if (!said)
    fail(ExitCode::data, "data", data, " does not hold the cases of ", run.config, " any more (", run.why,
        "), so what it held out cannot be told; bring them back, or say --split test, or with --val, "
        "--tune or --fold which cases are meant");
  std::fprintf(stderr,
      "%s does not hold the cases of %s any more (%s); whether it trained on these cannot be told\n",
      printable(data).c_str(), run.config.c_str(), printable(run.why).c_str());
}

// Where the command line holds out other cases than the run did.
void tell_trained_cases(const RunData& run, const std::string& data, const DatasetOptions& options) {
  Layout layout = open_layout(data, options.read);
  divide(layout, options);
  std::vector<std::string> trained;
  for (const Source& s : layout.validation)
    if (run.trained.contains(s.id)) trained.push_back(s.id);
  if (trained.empty()) return;
  std::fprintf(stderr, "%s held out others: it trained on %zu of these %zu cases (%s%s)\n",
      run.config.c_str(), trained.size(), layout.validation.size(), printable(trained.front()).c_str(),
      trained.size() > 1 ? " ..." : "");
}

}  // namespace

void add_label_options(CLI::App& app, ReadOptions& read) {
  OptionList list;
  declare_label_options(list, read);
  list.declare_to(app);
}

void add_read_options(CLI::App& app, ReadOptions& read) {
  OptionList list;
  declare_read_options(list, read);
  list.declare_to(app);
}

void add_split_options(CLI::App& app, DatasetOptions& options) {
  OptionList list;
  list.choose(
      "split", options.split, kSplits, "Cases of the folder; --tune and --fold go with train and val");
  list.declare_to(app);
  add_held_out_options(app, options);
}

void add_held_out_options(CLI::App& app, DatasetOptions& options) {
  OptionList list;
  declare_held_out_options(list, options);
  list.declare_to(app);
  add_read_options(app, options.read);
}

void describe_split(const DatasetOptions& o, About& about) {
  const DatasetOptions usual;
  about.add("split", name_of(o.split, kSplits), name_of(usual.split, kSplits));
  about.add("val", o.validation, usual.validation);
  about.add("tune", o.tune, usual.tune);
  about.add("fold", o.fold, usual.fold);
  about.add("group", o.read.group, usual.read.group);
  about.add("label-values", o.read.label_values, usual.read.label_values);
  about.add("label-colors", o.read.label_colors, usual.read.label_colors);
  about.add("instance-masks", o.read.instance_masks, usual.read.instance_masks);
}

void fail_empty_split(
    const std::string& command, const std::string& where, const DatasetOptions& options, bool labeled_only) {
  Layout layout = open_layout(where, options.read);
  divide(layout, options);
  std::string asked, others;
  for (const auto& [name, split] : kSplits) {
    const std::vector<Source>& cases = layout.of(split);
    const auto counts = [&](const Source& s) { return s.labeled() || !labeled_only; };
    const int64_t count = std::count_if(cases.begin(), cases.end(), counts);
    if (split == options.split) asked = name;
    else if (count > 0) others += "; --split " + name + " has " + std::to_string(count);
  }
  const std::string images_ts = (fs::path(where) / "imagesTs").string();
  if (options.split == Split::test && fs::is_directory(images_ts))
    others +=
        "; " + images_ts + " is a test split only beside labelsTs, predict takes it as a folder of images";
  const bool none_held_out = options.split == Split::validation && options.validation <= 0;
  fail(ExitCode::data, command, where, " has no ", labeled_only ? "labelled " : "", "case in its ", asked,
      " split", others, none_held_out ? "; --val N holds N of the training cases out" : "");
}

void take_split_of_run(const CLI::App& app, const std::vector<std::string>& weights, const std::string& data,
    DatasetOptions& options) {
  OptionList list;
  const bool test = options.split == Split::test;  // every fold has the same test cases
  // A command line that holds some out does not hold out the run's besides.
  if (!test && !says_held_out(app)) declare_held_out_options(list, options);
  declare_read_options(list, options.read);
  std::vector<RunData> own;
  OptionValues taken;
  for (const std::string& of : weights) {
    const std::optional<RunData> run = run_data(of, data);
    if (!run) continue;
    const OptionValues asked = asked_of_run(app, list, run->values);
    if (run->match == RunData::Match::other) {
      if (!test || !asked.empty())
        std::fprintf(stderr, "%s is of other data, %s, and had %s; not taken over\n", run->config.c_str(),
            printable(run->values.at("data")).c_str(), printable(in_words(asked)).c_str());
      continue;
    }
    if (run->match == RunData::Match::changed) tell_changed(*run, data, test || says_held_out(app));
    if (!own.empty() && asked != taken)
      fail(ExitCode::usage, "data", own.back().config, " has ", in_words(taken), ", ", run->config, " has ",
          in_words(asked),
          ": what one held out the other trained on; say which is meant, or score --split test");
    own.push_back(*run);
    taken = asked;
  }
  if (!taken.empty()) {
    list.set(taken);
    std::fprintf(
        stderr, "split as in %s: %s\n", own.back().config.c_str(), printable(in_words(taken)).c_str());
  }
  if (options.split == Split::validation && says_held_out(app))
    for (const RunData& run : own) tell_trained_cases(run, data, options);
}

}  // namespace patchcl
