// The options by which `eval`, `predict` and `data` read a folder: those of `train` under the same names.
#pragma once
#include <string>
#include <vector>

#include "data/layouts/splits.h"

namespace CLI {
class App;
}

namespace patchcl {

struct About;

// --label-values, --label-colors.
void add_label_options(CLI::App& app, ReadOptions& read);

// Those, --group, --instance-masks.
void add_read_options(CLI::App& app, ReadOptions& read);

// Those, and which cases training held out: --val, --tune, --fold.
void add_held_out_options(CLI::App& app, DatasetOptions& options);

// Those, and which of the folder's cases are meant: --split.
void add_split_options(CLI::App& app, DatasetOptions& options);

// Which cases were meant and how their masks were read.
void describe_split(const DatasetOptions& options, About& about);

// Error(data) that says which splits of the folder do have cases, or labelled ones.
[[noreturn]] void fail_empty_split(
    const std::string& command, const std::string& where, const DatasetOptions& options, bool labeled_only);

// How training read and divided its data, where these weights lie in a run folder and `data` is that run's
// (run_data.h): each of the options above that the command line leaves out is as in config.toml, and a note
// says so; of a run on other data a note says what it had, and of cases that the run trained on, which they
// are. Error(usage) where two runs differ, Error(data) where the data have changed since and only the run
// could say what it held out.
void take_split_of_run(const CLI::App& app, const std::vector<std::string>& weights, const std::string& data,
    DatasetOptions& options);

}  // namespace patchcl
