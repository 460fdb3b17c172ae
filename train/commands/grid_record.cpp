#include "train/commands/grid_record.h"

#include <map>

#include "tensor/file.h"
#include "tensor/text.h"
#include "train/setup/run_folder.h"

namespace patchcl {

namespace {

namespace fs = std::filesystem;

// "train --lr" and "0.02", "weights" and "best". Of an option that stands twice the last value counts.
using Options = std::map<std::string, std::string>;

Options options_in(const std::string& record) {
  Options options;
  TextIn lines(record);
  for (std::string line; std::getline(lines, line);) {
    std::string key, first;
    for (const std::string& word : words(line, "a run's cell.plan")) {
      const bool option = word.starts_with("--");
      const size_t sign = option ? word.find('=') : std::string::npos;
      if (first.empty()) first = key = word;
      else if (!option) options[key] += (options[key].empty() ? "" : " ") + word;
      else options[key = first + " " + word.substr(0, sign)] = "";
      if (sign != std::string::npos) options[key] = word.substr(sign + 1);
    }
  }
  options.erase("train --threads");
  options.erase("eval --threads");
  return options;
}

std::string shown(const Options& options, const std::string& key) {
  const auto found = options.find(key);
  return found == options.end() ? "without it" : printable(key + " " + found->second);
}

fs::path record_of(const GridCell& cell) { return cell.folder / "cell.plan"; }

bool has_begun(const GridCell& cell) { return fs::exists(cell.folder / run_file::last); }

// As words() takes it apart again.
std::string in_one_line(std::vector<std::string> options) {
  for (std::string& word : options) word = in_shell(word);
  return listed(options, " ");
}

}  // namespace

std::string cell_record(const GridPlan& plan, const std::vector<std::string>& train) {
  return "train " + in_one_line(train) + "\neval " + in_one_line(plan.eval) + "\nweights " + plan.weights +
         "\n";
}

void refuse_other_plan(const GridCell& cell, const std::string& record, bool scored) {
  if ((!scored && !has_begun(cell)) || !fs::exists(record_of(cell))) return;
  const Options then = options_in(read_text(record_of(cell).string(), ExitCode::io)),
                now = options_in(record);
  Options all = then;
  all.insert(now.begin(), now.end());
  for (const auto& [key, value] : all) {
    // Data that have moved since are told from others when the run goes on.
    const bool counts = scored || (key.starts_with("train ") && key != "train --data");
    if (counts && (!then.contains(key) || !now.contains(key) || then.at(key) != now.at(key)))
      fail(ExitCode::usage, "grid", cell.folder.string(), " was made with other options: then ",
          shown(then, key), ", now ", shown(now, key),
          "; take another --out, or remove that folder (or only ", record_of(cell).filename().string(),
          " in it, where both mean the same)");
  }
}

void record_cell(const GridCell& cell, const std::string& record) {
  if (!has_begun(cell) || fs::exists(record_of(cell))) update_text(record_of(cell).string(), record);
}

}  // namespace patchcl
