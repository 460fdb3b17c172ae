#include "train/loop/run_log.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <sstream>

#include "tensor/error.h"
#include "tensor/file.h"

namespace patchcl {

namespace {

// Keeps the rows up to `iteration`; their number stands behind `prefix`.
void cut(const std::string& path, int64_t iteration, const std::string& prefix) {
  std::ifstream in(path);
  std::string kept;
  for (std::string line; std::getline(in, line);) {
    const bool numbered = line.compare(0, prefix.size(), prefix) == 0 &&
                          std::isdigit(static_cast<unsigned char>(line[prefix.size()]));
    if (iteration > 0 && (!numbered || std::stoll(line.substr(prefix.size())) <= iteration))
      kept += line + "\n";
  }
  in.close();
  write_text(path, kept);
}

std::vector<std::string> split(const std::string& line) {
  std::istringstream in(line);
  std::vector<std::string> cells;
  for (std::string cell; std::getline(in, cell, ',');) cells.push_back(cell);
  return cells;
}

}  // namespace

RunLog::RunLog(const std::string& folder, int64_t iteration)
    : jsonl_path_(folder + "/metrics.jsonl"), csv_path_(folder + "/metrics.csv") {
  cut(jsonl_path_, iteration, "{\"iteration\":");
  cut(csv_path_, iteration, "");
  jsonl_.open(jsonl_path_, std::ios::app);
  csv_.open(csv_path_, std::ios::app);
  std::string header;
  std::ifstream table(csv_path_);
  std::getline(table, header);
  columns_ = split(header);
}

void RunLog::write(int64_t iteration, const Values& values) {
  std::ostringstream json, row;
  json.precision(9);
  row.precision(9);
  json << "{\"iteration\":" << iteration;
  for (const auto& [name, v] : values) {
    json << ",\"" << name << "\":";
    if (std::isfinite(v)) json << v;
    else json << "null";
  }
  jsonl_ << json.str() << "}\n" << std::flush;
  widen(values);
  row << iteration;
  for (size_t k = 1; k < columns_.size(); ++k) {
    row << ',';
    for (const auto& [name, v] : values)
      if (name == columns_[k]) row << v;
  }
  csv_ << row.str() << '\n' << std::flush;
  check();
}

// Gives the table columns for values that it has none for: a later phase logs more than a warm-up.
void RunLog::widen(const Values& values) {
  if (columns_.empty()) columns_.push_back("iteration");
  const size_t before = columns_.size();
  for (const auto& [name, v] : values)
    if (std::find(columns_.begin(), columns_.end(), name) == columns_.end()) columns_.push_back(name);
  if (columns_.size() == before) return;
  std::string table;
  for (const std::string& name : columns_) table += (table.empty() ? "" : ",") + name;
  table += "\n";
  std::ifstream in(csv_path_);
  std::string line;
  std::getline(in, line);  // the old header
  while (std::getline(in, line)) table += line + std::string(columns_.size() - before, ',') + "\n";
  in.close();
  csv_.close();
  write_text(csv_path_, table);
  csv_.open(csv_path_, std::ios::app);
}

void RunLog::write_validation(int64_t iteration, const std::string& json) {
  jsonl_ << "{\"iteration\":" << iteration << ",\"validation\":" << json << "}\n" << std::flush;
  check();
}

void RunLog::check() const {
  if (!jsonl_ || !csv_)
    fail(ExitCode::io, "train", "cannot write ", jsonl_path_, " or ", csv_path_, ": is the disk full?");
}

}  // namespace patchcl
