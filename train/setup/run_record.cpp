#include "train/setup/run_record.h"

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "data/stream/dataset.h"
#include "tensor/device.h"
#include "tensor/file.h"

namespace patchcl {

#ifndef PATCHCL_COMMIT
#define PATCHCL_COMMIT "unknown"
#endif
const char *const kVersion = "0.9", *const kCommit = PATCHCL_COMMIT, *const kCompiler = "g++ " __VERSION__;

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
    std::ifstream in(path);
    const nlohmann::ordered_json before = nlohmann::ordered_json::parse(in, nullptr, /*exceptions=*/false);
    if (before.is_array()) record = before;
  }
  record.push_back({{"version", kVersion}, {"commit", kCommit}, {"compiler", kCompiler},
      {"instructions", isa_name(isa())}, {"command", command_line()}, {"data", data},
      {"data_fingerprint", dataset.fingerprint()}, {"training_cases", dataset.cases()},
      {"labeled_cases", dataset.labeled_cases()}, {"images", dataset.items()},
      {"labeled_images", dataset.labeled_items()}, {"validation_cases", dataset.validation_cases()}});
  write_text(path, record.dump(2) + "\n");
}

}  // namespace patchcl
