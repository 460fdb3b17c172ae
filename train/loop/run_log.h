// The two metric files of a run, metrics.jsonl and metrics.csv: numbers only, so that equal runs have equal
// files. On resume they are cut back to the checkpoint, so that no step appears twice.
#pragma once
#include <cstdint>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

namespace patchcl {

class RunLog {
 public:
  // In `folder`; rows behind `iteration` go.
  RunLog(const std::string& folder, int64_t iteration);

  using Values = std::vector<std::pair<std::string, double>>;
  // Error(io) when the disk is full.
  void write(int64_t iteration, const Values& values);
  // `json`: the scores of a validation.
  void write_validation(int64_t iteration, const std::string& json);

 private:
  void widen(const Values& values);
  void check() const;
  std::string jsonl_path_, csv_path_;
  std::ofstream jsonl_, csv_;
  std::vector<std::string> columns_;  // of the table
};

}  // namespace patchcl
