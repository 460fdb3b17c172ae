// The options by which `eval`, `predict` and `data` read a folder: those of `train` under the same names.
#pragma once
#include <string>

#include "data/stream/splits.h"

namespace CLI {
class App;
}

namespace patchcl {

// --label-values, --label-colors, --group.
void add_read_options(CLI::App& app, ReadOptions& read);

// Those, and which cases training held out: --val, --tune, --fold.
void add_held_out_options(CLI::App& app, DatasetOptions& options);

// Those, and which of the folder's cases are meant: --split.
void add_split_options(CLI::App& app, DatasetOptions& options);

}  // namespace patchcl
