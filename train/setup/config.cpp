#include "train/setup/config.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <optional>

#include "data/stream/dataset.h"
#include "tensor/file.h"
#include "tensor/parallel.h"
#include "tensor/text.h"
#include "train/options/toml.h"
#include "train/setup/checkpoint.h"
#include "train/setup/run_folder.h"
#include "train/setup/run_record.h"

namespace patchcl {

namespace {
std::string method_in(const std::string& toml, const std::string& otherwise) {
  for (const auto& [name, value] : toml_values(toml))
    if (name == "method") return value;
  return otherwise;
}

// What is wrong in a file the parser says, which reads it too.
std::string method_in_file(const std::string& file, const std::string& otherwise) {
  const std::string toml = read_text(file, ExitCode::usage);
  try {
    return method_in(toml, otherwise);
  } catch (const Error&) {
    return otherwise;
  }
}

// Its list of labelled cases and its data: where a run that goes on had them, or where they lie now.
void demand_list(const Budget& labeled, const std::string& run) {
  if (labeled.is_file() && !std::filesystem::is_regular_file(labeled.text))
    fail(ExitCode::usage, "options", "--labeled '", labeled.text, "' of ", run,
        ": there is no such file any more; put the list into the run as ",
        in_run(folder_of(run), run_file::labeled));
}
void demand_data(const std::string& data, const std::string& run) {
  if (is_generated(data) || std::filesystem::exists(data)) return;
  fail(ExitCode::data, "data", data, ": there is no such folder; it is where ", run,
      " had its data, say with --data where they lie now");
}

std::string description_of(Fit fit, const std::string& side) {
  if (fit == Fit::crop) return "cuts of " + side + " at their own scale; --fit resize takes them whole";
  return "resized to " + side + (fit == Fit::bilinear ? ", bilinearly" : ", to the nearest pixel");
}

}  // namespace

int64_t TrainConfig::pictured(int64_t step) const {
  if (step == iters || val_every == 0) return step;
  const int64_t validations = (iters / val_every + 7) / 8;
  return step % (val_every * std::max<int64_t>(validations, 1)) == 0 ? step : 0;
}

std::string TrainConfig::describe() const {
  TextOut s;
  const std::string cpu = "CPU (" + instructions() + ")";
  s << "run: " << method << ", " << counted(iters, "step") << " of " << counted(batch, "image") << ", "
    << (device == DeviceChoice::cuda ? "GPU" : cpu) << ", " << counted(threads, "thread") << ", into "
    << printable(out) << "\n";
  const auto square = [](int64_t side) { return std::to_string(side) + "x" + std::to_string(side); };
  s << "images: " << description_of(fit.value(), square(size));
  if (window > 0) s << "; windows of " << square(window) << " train";
  s << "\n";
  return s.str();
}

DatasetOptions TrainConfig::dataset_options() const {
  const Budget budget = resume.empty() ? labeled : labeled_of_run(folder_of(resume), labeled);
  if (!resume.empty()) {
    demand_list(budget, resume);
    demand_data(data, resume);
  }
  budget.check();
  return {.labeled = budget, .validation = val, .tune = tune, .border = border, .fold = fold, .read = read};
}

RunShape TrainConfig::run_shape() const {
  network.check();
  RunShape run{.iterations = iters, .batch = batch, .size = window > 0 ? window : size};
  run.size_multiple = network.size_multiple();
  run.whole_share = whole_share;
  run.whole_size = size;
  run.whole_batch = whole_batch > 0 ? whole_batch : batch;
  run.rate = {.schedule = schedule, .peak = lr, .length = iters, .warm_up = lr_warm_up};
  return run;
}

LearnerOptions TrainConfig::learner_options(const Dataset& data) const {
  LearnerOptions o;
  o.network = network;
  o.network.in_channels = int(data.channels());
  o.network.classes = int(data.classes());
  o.optimizer = optimizer;
  o.run = run_shape();
  o.seed = seed;
  o.dtype = dtype;
  o.device = device_of(device);
  o.border_weight = border_weight;
  return o;
}

std::shared_ptr<Method> declare_options(CLI::App& app, TrainConfig& config) {
  const std::shared_ptr<Method> method = make_method(config.method);
  OptionList general;
  config.declare(general);
  general.declare_to(app);
  declare_method_options(app, *method);
  return method;
}

void declare_method_options(CLI::App& app, Method& method) {
  method.options().declare_to(app);
  // What only other methods read is known, and refused with a reason.
  for (const MethodEntry& other : methods())
    for (const std::string& option : other.make()->options().names()) {
      if (app.get_option_no_throw("--" + option)) continue;
      const auto refuse = [name = method.name(), option](const std::vector<std::string>&) {
        make_method(name, {{option, ""}});
      };
      app.add_option_function<std::vector<std::string>>("--" + option, refuse)
          ->group("")
          ->expected(0, 1 << 20)
          ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
    }
}

std::string value_of(const std::vector<std::string>& arguments, const std::string& flag) {
  std::string value;
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i] == flag && i + 1 < arguments.size()) value = arguments[i + 1];
    if (arguments[i].starts_with(flag + "=")) value = arguments[i].substr(flag.size() + 1);
  }
  return value;
}

std::string method_of(const std::vector<std::string>& arguments, const std::string& otherwise) {
  const std::string named = value_of(arguments, "--method");
  if (!named.empty()) return named;
  const std::string file = value_of(arguments, "--config"), run = value_of(arguments, "--resume");
  if (!file.empty()) return method_in_file(file, otherwise);
  if (!run.empty()) return method_in(saved_config(run).toml, otherwise);
  return otherwise;
}

void check_train_options(const std::vector<std::string>& arguments) {
  TrainConfig config;
  config.method = method_of(arguments, config.method);
  CLI::App app;
  const std::shared_ptr<Method> method = declare_options(app, config);
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));  // CLI11 takes the last first
  } catch (const CLI::ExtrasError&) {
    fail(ExitCode::usage, "options", unknown_option(app));
  } catch (const CLI::ParseError& e) {
    fail(ExitCode::usage, "options", e.what());
  }
  method->resolve(config.run_shape());
}

std::string to_toml(TrainConfig config, const Method& method) {
  OptionList general;
  config.declare(general);
  return config.remarks + general.toml() + method.options().toml();
}

TrainConfig from_toml(const std::string& text, const std::string& where) {
  TrainConfig config;
  OptionList general;
  config.declare(general);
  try {
    const std::unique_ptr<Method> method = make_method(method_in(text, config.method));
    for (const auto& [name, value] : toml_values(text))
      (general.contains(name) ? general : method->options()).set(name, value);
    config.method_options = method->options().values();
    TextIn lines(text);
    for (std::string line; std::getline(lines, line);)
      if (line.starts_with('#')) config.remarks += line + "\n";
  } catch (const std::exception& e) {
    fail(ExitCode::checkpoint, "train", where, " cannot be read: ", e.what());
  }
  return config;
}

std::map<std::string, std::string> values_in(const std::string& toml, const std::string& where) {
  std::map<std::string, std::string> values;
  try {
    for (const auto& [name, value] : toml_values(toml)) values[name] = value;
  } catch (const std::exception& e) {
    fail(ExitCode::checkpoint, "config", where, " cannot be read: ", e.what());
  }
  return values;
}

namespace {
// The options that have a value unasked and none here; nothing where it cannot be read or ends within a line.
std::optional<std::vector<std::string>> missing_options(const std::string& toml) {
  if (!toml.ends_with('\n')) return {};
  try {
    const auto found = values_in(toml, "");
    const std::unique_ptr<Method> method = make_method(method_in(toml, ""));
    TrainConfig config;
    OptionList general;
    config.declare(general);
    std::vector<std::string> missing;
    for (const OptionList* const list : {&general, &method->options()})
      for (const auto& [name, usual] : list->values())
        if (!usual.empty() && !found.contains(name)) missing.push_back(name);
    return missing;
  } catch (const std::exception&) {
    return {};
  }
}
}  // namespace

SavedConfig saved_config(const std::string& run) {
  const std::string file = in_run(folder_of(run), run_file::config);
  if (!std::filesystem::exists(file)) return {config_of(checkpoint_path(run)), ""};
  const std::string toml = read_text(file, ExitCode::checkpoint);
  const auto missing = missing_options(toml);
  if (missing && missing->empty()) return {toml, ""};
  // The run's program wrote both files: what both lack it did not know, what one lacks was lost.
  const std::string other = config_of(checkpoint_path(run));
  if (!missing || missing_options(other) != missing)
    return {other, file + " is damaged; going on with what the checkpoint holds\n"};
  std::string names;
  for (const std::string& name : *missing) names += (names.empty() ? "--" : ", --") + name;
  return {toml, run + " is of an older program: " + names + " as they are by default\n"};
}

}  // namespace patchcl
