// The options by which `eval`, `predict` and `data` read a folder: those of `train` under the same names.
#pragma once
#include <string>

#include "data/stream/splits.h"

namespace CLI {
class App;
}

namespace patchcl {

// --label-values, --label-colors.
void add_label_options(CLI::App& app, ReadOptions& read);

// Those, --group, --instance-masks.
void add_read_options(CLI::App& app, ReadOptions& read);

// Those, and which cases training held out: --val, --tune, --fold.
void add_held_out_options(CLI::App& app, DatasetOptions& options);

// Those, and which of the folder's cases are meant: --split.
void add_split_options(CLI::App& app, DatasetOptions& options);

// Error(data) that says which splits of the folder do have cases, or labelled ones.
[[noreturn]] void fail_empty_split(
    const std::string& command, const std::string& where, const DatasetOptions& options, bool labeled_only);

}  // namespace patchcl
