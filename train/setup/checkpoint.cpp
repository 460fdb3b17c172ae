#include "train/setup/checkpoint.h"

#include <charconv>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <map>

#include "tensor/device.h"
#include "tensor/file.h"
#include "tensor/text.h"
#include "train/setup/config.h"
#include "train/setup/run_folder.h"

namespace patchcl {

namespace fs = std::filesystem;

namespace {

Tensor to_host(const Tensor& t, const Arena& host) {
  const Tensor h = host.empty(t.shape(), t.dtype());
  copy(t, h);
  return h;
}

// Options that may change between a run and its continuation: they do not change a number, but for the
// device, which rounds otherwise. Data may move; that they are the same is told by their fingerprint. The
// number of steps may grow (--extend).
bool is_free(const std::string& key) {
  for (const char* k : {"out", "data", "threads", "log-every", "anomaly", "device", "graph"})
    if (key == k) return true;
  return false;
}

// What the options of a run say, but for those that may change.
std::map<std::string, std::string> options_of(const std::string& config, const std::string& where) {
  std::map<std::string, std::string> values = values_in(config, where);
  std::erase_if(values, [](const auto& option) { return is_free(option.first); });
  return values;
}

// A number that a checkpoint says.
template <class T> T number(const std::string& text, const char* what, const std::string& path) {
  T value{};
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || rest != end)
    fail(ExitCode::checkpoint, "checkpoint", path, " is damaged: its ", what, " is '", text,
        "', which is no number");
  return value;
}

std::string said_in(const std::map<std::string, std::string>& values, const std::string& key) {
  const auto at = values.find(key);
  return at == values.end() ? "" : at->second;
}

int64_t steps_of(const std::map<std::string, std::string>& options, const std::string& path) {
  return number<int64_t>(said_in(options, "iters"), "number of steps", path);
}

std::string differences(const std::string& saved, const std::string& now, const std::string& path) {
  const auto a = options_of(saved, path), b = options_of(now, "this configuration");
  const bool longer = steps_of(b, path) > steps_of(a, path);
  std::string text;
  for (const auto& [key, value] : a) {
    const auto other = b.find(key);
    const bool grows = key == "iters" && longer;
    const bool open = key == "fit" && value == "auto";  // older programs left it so; the data decide
    if (!grows && !open && (other == b.end() || other->second != value))
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

// Which instructions round a run's numbers.
std::string instructions_of(const Learner& learner) {
  return learner.options().device == Device::cuda ? "gpu" : instructions();
}

// Another CPU rounds otherwise: the run would go on, but not as if it had never stopped.
void refuse_other_bits(const Checkpoint& c, const Learner& learner) {
  const std::string then = said_in(c.file.metadata, "instructions"), now = instructions_of(learner);
  if (then.empty() || then == now || then == "gpu" || now == "gpu") return;
  fail(ExitCode::checkpoint, "checkpoint", c.path, " was trained with the CPU's ", then,
      " instructions, here they are ", now,
      ", which round otherwise; --allow-other-bits goes on all the same");
}

// A run that grows (--extend) is the longer one from here on, but what it has done must be a part of that.
void refuse_other_phases(const Checkpoint& c, const Learner& learner) {
  RunShape before = learner.options().run;
  before.iterations = steps_of(options_of(c.config, c.path), c.path);
  const std::vector<Phase> was = planned(learner.method().phases(before), before), &now = learner.phases();
  bool same = was.size() == now.size();
  for (size_t i = 0; same && i + 1 < was.size(); ++i) same = was[i].iterations == now[i].iterations;
  if (!same)
    fail(ExitCode::usage, "train", c.path, ": the ", was[0].name, " of this run is a share of its ",
        before.iterations, " steps, and would have been another in a run of ",
        learner.options().run.iterations, "; begin a new run with --weights instead of --extend");
}

// Where a checkpoint is damaged, the message names the one before it.
TensorFile read_tensors(const std::string& path) {
  try {
    return load_tensors(path, Arena("checkpoint"));
  } catch (const Error& e) {
    const fs::path previous = fs::path(path).parent_path() / run_file::before;
    const bool other = fs::exists(previous) && fs::path(path).filename() != previous.filename();
    throw Error(e.code(), std::string(e.what()) +
                              (other ? "; the one before it: --resume " + in_shell(previous.string()) : ""));
  }
}

}  // namespace

Checkpoint read_checkpoint(const std::string& path) {
  Checkpoint c{.path = path, .file = read_tensors(path)};
  const auto& said = c.file.metadata;
  if (!said.contains("iteration") || !said.contains("config"))
    fail(ExitCode::checkpoint, "checkpoint", path, " is a weights file, not a checkpoint of a run; take ",
        run_file::last);
  c.config = said.at("config");
  c.data = said_in(said, "data");
  c.iteration = number<int64_t>(said.at("iteration"), "step", path);
  c.progress = {number<double>(said_in(said, "best_dice"), "best score", path),
      number<int64_t>(said_in(said, "best_iteration"), "best step", path)};
  const int64_t steps = steps_of(options_of(c.config, path), path), best = c.progress.best_iteration;
  if (best < 0 || best > c.iteration || c.iteration > steps)
    fail(ExitCode::checkpoint, "checkpoint", path, " is damaged: it is of step ", c.iteration, " of ", steps,
        ", its best weights of step ", best);
  if (!std::isfinite(c.progress.best_dice))
    fail(ExitCode::checkpoint, "checkpoint", path, " is damaged: its best score is ", c.progress.best_dice);
  return c;
}

void Checkpoint::demand_data(const std::string& fingerprint) const {
  if (!data.empty() && data != fingerprint)
    fail(ExitCode::checkpoint, "checkpoint", path, " was trained on other cases: its lists have fingerprint ",
        data, ", those of today ", fingerprint,
        "; say with --data where its data lies, bring the lists back, or begin a new run");
}

void Checkpoint::restore(ParamStore& student, ParamStore* teacher, Method& method) const {
  get_weights(file, student, path);
  if (teacher) get_weights(file, *teacher, path, "teacher.");
  method.load(file);
}

void demand_finite(const TensorFile& file, int64_t iteration) {
  for (const auto& [name, t] : file.tensors)
    if (!all_finite(t))
      fail(ExitCode::non_finite, "train", "after step ", iteration, " '", name,
          "' is not finite; the last checkpoint and the best weights are untouched. Try a lower --lr");
}

void put_optimizer(TensorFile& file, Learner& learner) {
  const Arena host("checkpoint");
  for (const auto& [name, t] : learner.optimizer().state())
    file.tensors["optimizer." + name] = to_host(t, host);
}

void get_optimizer(const TensorFile& file, Learner& learner, const std::string& path) {
  for (const auto& [name, t] : learner.optimizer().state()) {
    const Tensor& saved = at(file, "optimizer." + name, path);
    if (saved.dtype() != t.dtype() || saved.numel() != t.numel())
      fail(ExitCode::checkpoint, "checkpoint", path, " holds optimizer.", name, " ", saved.shape(),
          ", wanted ", t.shape());
    copy(saved, t);
  }
}

void save_checkpoint(const std::string& dir, const ModelInfo& info, Learner& learner,
    const Progress& progress, const std::string& config, const std::string& data, bool keep_last) {
  const int64_t iteration = learner.iteration();
  TensorFile file;
  put_model_info(file, info);
  put_weights(file, learner.student(), iteration);
  if (learner.teacher()) put_weights(file, *learner.teacher(), iteration, "teacher.");
  demand_finite(file, iteration);
  put_optimizer(file, learner);
  learner.method().save(file);
  TextOut best;
  best.precision(17);
  best << progress.best_dice;
  file.metadata["iteration"] = std::to_string(iteration);
  file.metadata["best_dice"] = best.str();
  file.metadata["best_iteration"] = std::to_string(progress.best_iteration);
  file.metadata["config"] = config;
  file.metadata["data"] = data;
  file.metadata["instructions"] = instructions_of(learner);

  save_tensors(in_run(dir, run_file::last), file, keep_last ? in_run(dir, run_file::before) : "");
}

void start_from_weights(Learner& learner, const std::string& from) {
  const std::string path = weights_path(from);
  const PartialLoad load = get_weights_partially(load_tensors(path, Arena("weights")), learner.student());
  if (load.loaded.empty())
    fail(ExitCode::checkpoint, "weights", path, " holds no tensor of this network by name and shape");
  if (learner.teacher()) learner.teacher()->copy_from(learner.student());
  learner.method().start(learner.state());  // what a method keeps of the student by itself
  std::printf("weights: %s from %s\n", counted(int64_t(load.loaded.size()), "tensor").c_str(), path.c_str());
  for (const std::string& name : load.kept) std::printf("  starts anew: %s\n", name.c_str());
  for (const std::string& name : load.unused) std::printf("  not used: %s\n", name.c_str());
}

std::string config_of(const std::string& checkpoint) { return read_checkpoint(checkpoint).config; }

Progress load_checkpoint(const std::string& path, Learner& learner, const std::string& config,
    const std::string& data, bool allow_other_bits) {
  const Checkpoint c = read_checkpoint(path);
  if (!allow_other_bits) refuse_other_bits(c, learner);
  const std::string changed = differences(c.config, config, path);
  if (!changed.empty())
    fail(ExitCode::checkpoint, "checkpoint", path, " was trained with other options:", changed,
        "; resume with the same ones");
  refuse_other_phases(c, learner);
  c.demand_data(data);
  c.restore(learner.student(), learner.teacher(), learner.method());
  get_optimizer(c.file, learner, path);
  learner.go_to(c.iteration);
  return c.progress;
}

}  // namespace patchcl
