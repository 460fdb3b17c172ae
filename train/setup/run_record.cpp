#include "train/setup/run_record.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "data/stream/dataset.h"
#include "tensor/device.h"
#include "tensor/file.h"

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
std::vector<std::string>& arguments() {
  static std::vector<std::string> all;
  return all;
}
}  // namespace

const std::vector<std::string>& command_line() { return arguments(); }
void set_command_line(int argc, char** argv) { arguments().assign(argv, argv + argc); }

void record_run(const std::string& folder, const std::string& data, const Dataset& dataset) {
  const std::string path = folder + "/run.json";
  nlohmann::ordered_json record = nlohmann::ordered_json::array();
  if (std::filesystem::exists(path)) {
    const std::string text = read_text(path, ExitCode::io);
    const auto before = nlohmann::ordered_json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (before.is_array()) record = before;
  }
  record.push_back({{"version", kVersion}, {"commit", kCommit}, {"compiler", kCompiler},
      {"instructions", instructions()}, {"command", command_line()}, {"data", data},
      {"data_fingerprint", dataset.fingerprint()}, {"training_cases", dataset.cases()},
      {"labeled_cases", dataset.labeled_cases()}, {"images", dataset.items()},
      {"labeled_images", dataset.labeled_items()}, {"validation_cases", dataset.validation_cases()}});
  // A path that is not UTF-8 is written with signs of replacement.
  write_text(path, record.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

}  // namespace patchcl
