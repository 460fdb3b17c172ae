#include "train/commands/data_flags.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>

#include "tensor/file.h"
#include "train/commands/score_output.h"
#include "train/setup/checkpoint.h"
#include "train/setup/config.h"

namespace patchcl {

namespace {
namespace fs = std::filesystem;

const Names<Split> kSplits{{"train", Split::train}, {"val", Split::validation}, {"test", Split::test}};

void declare_held_out(OptionList& list, DatasetOptions& options) {
  list.add("val", options.validation,
      "Cases to hold out where no list says which (the last ones); -1: one in five", at_least(-1));
  list.add("tune", options.tune, "The training cases that `train --tune` held out", kNotNegative);
  list.add("fold", options.fold, "The cases that `train --fold` validated on, as 2/5");
}

bool contains_line(const std::string& text, const std::string& beginning) {
  return text.starts_with(beginning) || text.find("\n" + beginning) != std::string::npos;
}

// By name, or one folder under two names.
bool same_data(const std::string& a, const std::string& b) {
  std::error_code none;
  return a == b || fs::equivalent(a, b, none);
}

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
  declare_held_out(list, options);
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
  const bool none_held_out = options.split == Split::validation && options.validation <= 0;
  fail(ExitCode::data, command, where, " has no ", labeled_only ? "labelled " : "", "case in its ", asked,
      " split", others, none_held_out ? "; --val N holds N of the training cases out" : "");
}

void take_split_of_run(const CLI::App& app, const std::vector<std::string>& weights, const std::string& data,
    DatasetOptions& options) {
  OptionList list;
  if (options.split != Split::test) declare_held_out(list, options);  // every fold has the same test cases
  declare_read_options(list, options.read);
  std::string from;
  OptionValues taken;
  for (const std::string& of : weights) {
    const std::string config = (fs::path(folder_of(of)) / "config.toml").string();
    if (!fs::exists(config)) continue;
    const std::string toml = read_text(config, ExitCode::checkpoint);
    if (!contains_line(toml, "method=")) continue;  // another program's
    std::map<std::string, std::string> run = values_in(toml, config);
    const OptionValues asked = asked_of_run(app, list, run);
    const bool own = same_data(run["data"], data);
    if (!own && !asked.empty())
      std::fprintf(stderr, "%s is of other data, %s, and had %s; not taken over\n", config.c_str(),
          printable(run["data"]).c_str(), printable(in_words(asked)).c_str());
    if (!own) continue;
    if (!from.empty() && asked != taken)
      fail(ExitCode::usage, "data", from, " has ", in_words(taken), ", ", config, " has ", in_words(asked),
          ": what one held out the other trained on; say which is meant, or score --split test");
    from = config;
    taken = asked;
  }
  if (taken.empty()) return;
  list.set(taken);
  std::fprintf(stderr, "split as in %s: %s\n", from.c_str(), printable(in_words(taken)).c_str());
}

}  // namespace patchcl
