#include "train/setup/run_record.h"

#include <cmath>
#include <filesystem>

#include "data/stream/dataset.h"
#include "tensor/device.h"
#include "tensor/file.h"
#include "tensor/json.h"
#include "train/setup/run_folder.h"

namespace patchcl {

#ifndef PATCHCL_COMMIT
#define PATCHCL_COMMIT "unknown"
#endif
#ifdef __clang__
#define PATCHCL_COMPILER __VERSION__  // begins with the name
#else
#define PATCHCL_COMPILER "g++ " __VERSION__
#endif
const char *const kVersion = "0.9", *const kCommit = PATCHCL_COMMIT, *const kCompiler = PATCHCL_COMPILER;

namespace {
using nlohmann::ordered_json;

std::vector<std::string>& arguments() {
  static std::vector<std::string> all;
  return all;
}

std::string path_of(const std::string& folder) { return in_run(folder, run_file::record); }

// Empty where there is none, or something else.
ordered_json read_record(const std::string& folder) {
  if (!std::filesystem::exists(path_of(folder))) return ordered_json::array();
  const std::string text = read_text(path_of(folder), ExitCode::io);
  const ordered_json record = parse_json<ordered_json>(text);
  return record.is_array() ? record : ordered_json::array();
}

// A path that is not UTF-8 is written with signs of replacement.
void write_record(const std::string& folder, const ordered_json& record) {
  write_text(path_of(folder), record.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n");
}
}  // namespace

const std::vector<std::string>& command_line() { return arguments(); }
void set_command_line(int argc, char** argv) { arguments().assign(argv, argv + argc); }

void record_run(const std::string& folder, const std::string& data, const Dataset& dataset) {
  ordered_json record = read_record(folder);
  record.push_back({{"version", kVersion}, {"commit", kCommit}, {"compiler", kCompiler},
      {"instructions", instructions()}, {"command", command_line()}, {"data", data},
      {"data_fingerprint", dataset.fingerprint()}, {"training_cases", dataset.cases()},
      {"labeled_cases", dataset.labeled_cases()}, {"images", dataset.items()},
      {"labeled_images", dataset.labeled_items()}, {"validation_cases", dataset.validation_cases()}});
  write_record(folder, record);
}

std::string recorded_fingerprint(const std::string& folder) {
  const ordered_json record = read_record(folder);
  if (record.empty() || !record.back().is_object()) return {};
  const ordered_json found = record.back().value("data_fingerprint", ordered_json());
  return found.is_string() ? found.get<std::string>() : "";
}

std::string labeled_of_run(const std::string& folder, const std::string& labeled) {
  const std::string kept = in_run(folder, run_file::labeled);
  return Budget(labeled).is_file() && std::filesystem::exists(kept) ? kept : labeled;
}

void keep_labeled(const std::string& folder, const std::string& labeled) {
  if (Budget(labeled).is_file()) update_text(in_run(folder, run_file::labeled), read_text(labeled));
}

void record_cost(const std::string& folder, const StepCost& cost) {
  ordered_json record = read_record(folder);
  if (record.empty() || !record.back().is_object()) return;
  record.back()["steps"] = cost.steps;
  record.back()["cpu_seconds"] = cost.cpu_seconds;
  write_record(folder, record);
}

double recorded_step_seconds(const std::string& folder) {
  double steps = 0, seconds = 0;
  for (const ordered_json& entry : read_record(folder)) {
    if (!entry.is_object() || !entry.contains("steps") || !entry.contains("cpu_seconds")) continue;
    if (!entry["steps"].is_number() || !entry["cpu_seconds"].is_number()) continue;
    steps += entry["steps"].get<double>();
    seconds += entry["cpu_seconds"].get<double>();
  }
  return steps > 0 ? seconds / steps : std::nan("");
}

}  // namespace patchcl
