#include "train/setup/checkpoint.h"

#include <unistd.h>

#include <filesystem>
#include <map>
#include <sstream>

namespace patchcl {

namespace fs = std::filesystem;

namespace {

Tensor to_host(const Tensor& t, const Arena& host) {
  const Tensor h = host.empty(t.shape(), t.dtype());
  copy(t, h);
  return h;
}

// Options that may change between a run and its continuation: they do not change a number, but for the
// device, which rounds otherwise.
bool is_free(const std::string& key) {
  for (const char* k : {"out", "threads", "log-every", "anomaly", "device"})
    if (key == k) return true;
  return false;
}

std::map<std::string, std::string> options_of(const std::string& config) {
  std::map<std::string, std::string> m;
  std::istringstream lines(config);
  for (std::string line; std::getline(lines, line);) {
    const size_t at = line.find('=');
    if (line.empty() || line[0] == '#' || at == std::string::npos) continue;
    const std::string key = line.substr(0, at);
    std::string value = line.substr(at + 1);
    // A list that was given and the same list as a default print as [1, 2] and "[1,2]".
    std::erase_if(value, [](char c) { return c == '"' || c == ' '; });
    if (!is_free(key)) m[key] = value;
  }
  return m;
}

std::string differences(const std::string& saved, const std::string& now) {
  const auto a = options_of(saved), b = options_of(now);
  std::string text;
  for (const auto& [key, value] : a) {
    const auto other = b.find(key);
    if (other == b.end() || other->second != value)
      text += " " + key + "=" + value + " (now " + (other == b.end() ? "absent" : other->second) + ")";
  }
  return text;
}

const Tensor& at(const TensorFile& file, const std::string& name, const std::string& path) {
  const auto it = file.tensors.find(name);
  if (it == file.tensors.end())
    fail(ExitCode::checkpoint, "checkpoint", path, " has no tensor '", name,
        "'; it holds weights only: use --weights where weights are asked for");
  return it->second;
}

}  // namespace

void save_checkpoint(const std::string& dir, const ModelInfo& info, const TrainState& s, const Method& method,
    const Optimizer& optimizer, const Progress& progress, const std::string& config) {
  const Arena host("checkpoint");
  TensorFile file;
  put_model_info(file, info);
  put_weights(file, *s.student, progress.iteration);
  if (s.teacher) put_weights(file, *s.teacher, progress.iteration, "teacher.");
  for (const auto& [name, t] : optimizer.state()) file.tensors["optimizer." + name] = to_host(t, host);
  method.save(file);
  std::ostringstream best;
  best.precision(17);
  best << progress.best_dice;
  file.metadata["iteration"] = std::to_string(progress.iteration);
  file.metadata["best_dice"] = best.str();
  file.metadata["best_iteration"] = std::to_string(progress.best_iteration);
  file.metadata["config"] = config;

  const fs::path last = fs::path(dir) / "last.safetensors", previous = fs::path(dir) / "last.1.safetensors";
  // A second name for the old checkpoint: there is a whole one under `last` at every moment.
  std::error_code ignored;
  if (fs::exists(last)) {
    fs::remove(previous, ignored);
    fs::create_hard_link(last, previous, ignored);
  }
  save_tensors(last, file);
}

std::string checkpoint_path(const std::string& resume) {
  return fs::is_directory(resume) ? (fs::path(resume) / "last.safetensors").string() : resume;
}

Progress load_checkpoint(const std::string& path, const TrainState& s, Method& method,
    const Optimizer& optimizer, const std::string& config) {
  const Arena host("checkpoint");
  TensorFile file;
  try {
    file = load_tensors(path, host);
  } catch (const Error& e) {
    const fs::path previous = fs::path(path).parent_path() / "last.1.safetensors";
    const bool other = fs::exists(previous) && fs::path(path).filename() != previous.filename();
    throw Error(e.code(),
        std::string(e.what()) + (other ? "; the one before it: --resume " + previous.string() : ""));
  }
  if (!file.metadata.count("iteration") || !file.metadata.count("config"))
    fail(ExitCode::checkpoint, "checkpoint", path,
        " is a weights file, not a checkpoint of a run; resume from last.safetensors");
  const std::string changed = differences(file.metadata["config"], config);
  if (!changed.empty())
    fail(ExitCode::checkpoint, "checkpoint", path, " was trained with other options:", changed,
        "; resume with the same ones");

  get_weights(file, *s.student, path);
  if (s.teacher) get_weights(file, *s.teacher, path, "teacher.");
  for (const auto& [name, t] : optimizer.state()) {
    const Tensor& saved = at(file, "optimizer." + name, path);
    if (saved.dtype() != t.dtype() || saved.numel() != t.numel())
      fail(ExitCode::checkpoint, "checkpoint", path, " holds optimizer.", name, " ", saved.shape(),
          ", wanted ", t.shape());
    copy(saved, t);
  }
  method.load(file);
  try {
    return {std::stoll(file.metadata["iteration"]), std::stod(file.metadata["best_dice"]),
        std::stoll(file.metadata["best_iteration"])};
  } catch (const std::logic_error&) {
    fail(ExitCode::checkpoint, "checkpoint", path, " has an iteration or score that is no number");
  }
}

}  // namespace patchcl
