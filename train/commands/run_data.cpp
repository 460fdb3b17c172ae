#include "train/commands/run_data.h"

#include <filesystem>

#include "data/layouts/case_lists.h"
#include "tensor/file.h"
#include "train/setup/config.h"
#include "train/setup/run_folder.h"
#include "train/setup/run_record.h"

namespace patchcl {

namespace {
namespace fs = std::filesystem;

bool contains_line(const std::string& text, const std::string& beginning) {
  return text.starts_with(beginning) || text.find("\n" + beginning) != std::string::npos;
}

// By name, or one folder under two names.
bool is_one_place(const std::string& a, const std::string& b) {
  std::error_code none;
  return a == b || fs::equivalent(a, b, none);
}

// As the run read and divided its data.
DatasetOptions options_of(const std::string& folder, const std::map<std::string, std::string>& values) {
  DatasetOptions options;
  OptionList list;
  list.add("labeled", options.labeled.text, "");
  declare_held_out_options(list, options);
  declare_read_options(list, options.read);
  for (const std::string& name : list.names())
    if (const auto found = values.find(name); found != values.end()) list.set(name, found->second);
  options.labeled = labeled_of_run(folder, options.labeled.text);
  return options;
}

}  // namespace

void declare_held_out_options(OptionList& list, DatasetOptions& options) {
  list.add("val", options.validation,
      "Held-out patients: the last, or the first of a validation list; -1: one in five, or all of the list",
      at_least(-1));
  list.add("tune", options.tune, "The training cases that `train --tune` held out", kNotNegative);
  list.add("fold", options.fold, "The cases that `train --fold` validated on, as 2/5");
}

std::optional<RunData> run_data(const std::string& weights, const std::string& data) {
  const std::string folder = folder_of(weights), config = in_run(folder, run_file::config);
  if (!fs::exists(config)) return {};
  const std::string toml = read_text(config, ExitCode::checkpoint);
  if (!contains_line(toml, "method=")) return {};  // another program's
  RunData run{config, values_in(toml, config)};
  const bool here = is_one_place(run.values["data"], data);
  const std::string then = recorded_fingerprint(folder);
  if (then.empty()) {
    run.match = here ? RunData::Match::own : RunData::Match::other;
    return run;
  }
  if (here) run.match = RunData::Match::changed;
  try {
    const DatasetOptions options = options_of(folder, run.values);
    const CaseLists lists = case_lists(open_layout(data, options.read), options);
    const std::string now = lists.fingerprint();
    run.why = "its lists have fingerprint " + then + ", today's " + now;
    if (now != then) return run;
    run.match = RunData::Match::own;
    for (const Source& s : lists.layout.train) run.trained.insert(s.id);
  } catch (const Error& e) {  // they cannot be divided as the run's were
    run.why = e.what();
  }
  return run;
}

}  // namespace patchcl
