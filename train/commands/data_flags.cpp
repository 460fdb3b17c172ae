#include "train/commands/data_flags.h"

#include "train/setup/config.h"

namespace patchcl {

void add_read_options(CLI::App& app, ReadOptions& read) {
  OptionList list;
  declare_read_options(list, read);
  list.declare_to(app);
}

void add_split_options(CLI::App& app, DatasetOptions& options) {
  OptionList list;
  list.choose("split", options.split,
      {{"train", Split::train}, {"val", Split::validation}, {"test", Split::test}},
      "Cases of the folder; --tune and --fold go with val");
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

}  // namespace patchcl
