#include "train/commands/data_flags.h"

#include <algorithm>

#include "tensor/error.h"
#include "train/setup/config.h"

namespace patchcl {

namespace {
const Names<Split> kSplits{{"train", Split::train}, {"val", Split::validation}, {"test", Split::test}};
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
  list.choose("split", options.split, kSplits, "Cases of the folder; --tune and --fold go with val");
  list.declare_to(app);
  add_held_out_options(app, options);
}

void add_held_out_options(CLI::App& app, DatasetOptions& options) {
  OptionList list;
  list.add("val", options.validation,
      "Cases to hold out where no list says which (the last ones); -1: one in five", at_least(-1));
  list.add("tune", options.tune, "The training cases that `train --tune` held out", kNotNegative);
  list.add("fold", options.fold, "The cases that `train --fold` validated on, as 2/5");
  list.declare_to(app);
  add_read_options(app, options.read);
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

}  // namespace patchcl
