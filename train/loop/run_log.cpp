#include "train/loop/run_log.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "tensor/json.h"
#include "tensor/text.h"
#include "train/evaluate/report.h"
#include "train/setup/run_folder.h"

namespace patchcl {

namespace {

// The iteration of a row; 0 of a table's header, -1 of what is no row.
int64_t iteration_of(const std::string& line) {
  if (!line.starts_with("{")) return std::atoll(line.c_str());
  const auto row = parse_json(line);
  const auto found = row.is_object() ? row.find("iteration") : row.end();
  return found != row.end() && found->is_number_integer() ? found->get<int64_t>() : -1;
}

std::vector<std::string> split(const std::string& line) {
  TextIn in(line);
  std::vector<std::string> cells;
  for (std::string cell; std::getline(in, cell, ',');) cells.push_back(cell);
  return cells;
}

// A class's name as a header holds it without quotes.
std::string header_cell(std::string name) {
  const auto quoted = [](unsigned char c) { return c == ',' || c == '"' || c < ' '; };
  std::replace_if(name.begin(), name.end(), quoted, '_');
  return name;
}

}  // namespace

void cut_log(const std::string& path, int64_t iteration) {
  if (!std::filesystem::exists(path)) return;
  const std::string text = read_text(path, ExitCode::io);
  std::string kept;
  // A last line without an end is a part of one.
  for (size_t at = 0, end = 0; (end = text.find('\n', at)) != std::string::npos; at = end + 1) {
    const std::string line = text.substr(at, end - at);
    const int64_t i = iteration_of(line);
    if (iteration > 0 && i >= 0 && i <= iteration) kept += line + "\n";
  }
  if (kept != text) write_text(path, kept);
}

RunLog::RunLog(const std::string& folder, int64_t iteration, bool events)
    : folder_(folder), csv_path_(in_run(folder, run_file::table)),
      audit_path_(in_run(folder, run_file::audits)) {
  const std::string jsonl = in_run(folder, run_file::metrics);
  for (const std::string& path : {jsonl, csv_path_, audit_path_}) cut_log(path, iteration);
  jsonl_ = std::make_unique<AppendFile>(jsonl);
  csv_ = std::make_unique<AppendFile>(csv_path_);
  const std::string table = read_text(csv_path_, ExitCode::io);
  columns_ = split(table.substr(0, table.find('\n')));
  if (events) events_ = std::make_unique<EventFile>(folder, iteration);
}

void RunLog::write(int64_t iteration, const Values& values) {
  TextOut json;
  json.precision(9);
  json << "{\"iteration\":" << iteration;
  for (const auto& [name, v] : values) {
    json << ",\"" << name << "\":";
    if (std::isfinite(v)) json << v;
    else json << "null";
  }
  jsonl_->write_line(json.str() + "}");
  write_row(iteration, values);
}

void RunLog::write_row(int64_t iteration, const Values& values) {
  for (const auto& [name, v] : values)
    if (events_) events_->scalar(iteration, name, v);
  TextOut row;
  row.precision(9);
  widen(values);
  row << iteration;
  for (size_t k = 1; k < columns_.size(); ++k) {
    row << ',';
    for (const auto& [name, v] : values)
      if (name == columns_[k]) row << v;
  }
  csv_->write_line(row.str());
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
  TextIn in(read_text(csv_path_, ExitCode::io));
  std::string line;
  std::getline(in, line);  // the old header
  while (std::getline(in, line)) table += line + std::string(columns_.size() - before, ',') + "\n";
  write_text(csv_path_, table);
  csv_ = std::make_unique<AppendFile>(csv_path_);
}

void RunLog::write_validation(
    int64_t iteration, const Summary& scores, const std::vector<std::string>& class_names) {
  jsonl_->write_line("{\"iteration\":" + std::to_string(iteration) +
                     ",\"validation\":" + to_json(scores, class_names) + "}");
  Values dice{{"validation_dice", scores.mean.dice}};
  for (size_t k = 0; k < scores.classes.size(); ++k)
    dice.push_back({"validation_dice_" + header_cell(class_names[k + 1]), scores.classes[k].dice});
  write_row(iteration, dice);
  if (events_) write_overlays(iteration);
}

void RunLog::write_overlays(int64_t iteration) {
  std::error_code none;
  std::vector<std::filesystem::path> all;
  for (const auto& entry : std::filesystem::directory_iterator(in_run(folder_, run_file::overlays), none))
    if (entry.path().extension() == ".png") all.push_back(entry.path());
  std::sort(all.begin(), all.end());
  for (const auto& path : all) {
    const std::string name = path.stem().string(), now = "first-" + std::to_string(iteration);
    if (name.starts_with("first-") && name != now) continue;
    events_->picture(
        iteration, std::string(run_file::overlays) + "/" + name.substr(0, name.find('-')), path.string());
  }
}

void RunLog::write_audit(const std::string& json) {
  if (!audit_) audit_ = std::make_unique<AppendFile>(audit_path_);
  audit_->write_line(json);
}

void RunLog::sync() {
  for (const auto* file : {&jsonl_, &csv_, &audit_})
    if (*file) (*file)->sync();
}

}  // namespace patchcl
