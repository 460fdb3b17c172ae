#include "train/setup/config.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <set>

#include "data/stream/dataset.h"
#include "tensor/file.h"
#include "tensor/parallel.h"
#include "tensor/text.h"
#include "train/setup/checkpoint.h"

namespace patchcl {

const Names<DType> kFloatTypes{{"f32", DType::f32}, {"f64", DType::f64}};
const Names<Kernels> kKernelNames = in_order<Kernels>(kernel_names());
const Names<MathMode> kMathNames = in_order<MathMode>(math_names());
const Names<DeviceChoice> kDeviceNames{
    {"auto", DeviceChoice::automatic}, {"cpu", DeviceChoice::cpu}, {"cuda", DeviceChoice::cuda}};

namespace {
const Names<MathMode> kTrainingMath{
    {"f32", MathMode::f32}, {"tf32", MathMode::tf32}, {"bf16", MathMode::bf16}};

const Names<Augmentation> kAugmentations = in_order<Augmentation>(augmentation_names());
const Names<WindowAt> kWindowPlaces = in_order<WindowAt>({"centre", "uniform", "foreground"});
const Names<OptimizerKind> kOptimizers{{"sgd", OptimizerKind::sgd}, {"adam", OptimizerKind::adam}};
const Names<Schedule> kSchedules{{"auto", Schedule::automatic}, {"poly", Schedule::poly},
    {"constant", Schedule::constant}, {"cosine", Schedule::cosine}};

template <class E> Names<E> names_of(const std::map<std::string, E>& names) {
  return {names.begin(), names.end()};
}

std::string joined(const std::vector<std::string>& words) {
  std::string all;
  for (const std::string& w : words) all += (all.empty() ? "" : ",") + w;
  return all;
}

std::vector<CLI::ConfigItem> items_of(const std::string& toml) {
  TextIn in(toml);
  return CLI::ConfigTOML().from_config(in);
}

std::string method_in(const std::string& toml, const std::string& otherwise) {
  for (const CLI::ConfigItem& item : items_of(toml))
    if (item.name == "method") return joined(item.inputs);
  return otherwise;
}

// The value of the last --NAME in a command line; empty when there is none.
std::string value_of(const std::vector<std::string>& arguments, const std::string& flag) {
  std::string value;
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i] == flag && i + 1 < arguments.size()) value = arguments[i + 1];
    if (arguments[i].starts_with(flag + "=")) value = arguments[i].substr(flag.size() + 1);
  }
  return value;
}

// An option with another value than its default, while the one that it needs is off.
template <class T>
void refuse_without(bool there, const char* needed, const char* option, const T& value, const T& otherwise) {
  if (!there && value != otherwise)
    fail(ExitCode::usage, "options", option, " ", value, " has no effect without ", needed, "; leave it out");
}

void declare_data(OptionList& o, TrainConfig& c) {
  o.group("Data");
  o.add("data", c.data,
      "Folder (images and masks, ACDC, SSL4MIS, MSD or nnU-Net), or phantom[:cases=40,size=96,...]");
  o.add("labeled", c.labeled,
      "Labelled cases: a count (7) or share (10%) of the list's first, or a file that names them; -1: all");
  o.add(
      "val", c.val, "Held-out cases where the folder has no validation list; -1: one in five", at_least(-1));
  o.add("tune", c.tune,
      "Training cases held out to choose settings: not trained on, and validated instead of the validation "
      "cases, which stay unread",
      kNotNegative);
  o.add("fold", c.fold, "Validate on one fold and train on the others: 2/5; splits_final.json may list them");
  declare_read_options(o, c.read);
  o.add("border", c.border,
      "Pixels of a further class at the border of objects, which keeps touching ones apart and is grown over "
      "after the network; 0: none",
      Range{0, 64});
  o.add("border-weight", c.border_weight,
      "Further weight of that class's pixels in the cross-entropy; 0: that of all others", Range{0, 1000});
  o.add("size", c.size, "Height and width of the network's input", kSides);
  o.choose("augment", c.augment, kAugmentations, "Random changes of training images");
  o.add("window", c.window, "Height and width of the cuts of these images that train; 0: whole images",
      kNotNegative);
  o.choose("window-at", c.window_at, kWindowPlaces,
      "Where they lie: near the centre, anywhere, or every other one around a labelled pixel");
  o.add("whole-share", c.whole_share,
      "Share of the iterations, the last ones, on whole images, which show a network of windows where it is",
      kShare);
  o.add("whole-batch", c.whole_batch, "Images in a step there; 0: those of --batch", kNotNegative);
}

}  // namespace

Device device_of(DeviceChoice choice) {
  if (choice == DeviceChoice::cpu) return Device::cpu;
  std::string why;
  if (cuda_available(&why)) return Device::cuda;
  if (choice == DeviceChoice::cuda)
    fail(ExitCode::device, "device", "--device cuda was asked for, but ", why, "; use --device cpu");
  return Device::cpu;
}

Names<std::string> method_choices() {
  Names<std::string> names;
  for (const MethodEntry& m : methods()) names.push_back({m.name, m.name});
  return names;
}

void TrainConfig::declare(OptionList& o) {
  o.choose("method", method, method_choices(), "What trains; its own options are listed at the end");
  declare_data(o, *this);

  o.group("Optimisation");
  o.add("iters", iters, "Training steps", Range{1, 1e12});
  o.add("batch", batch, "Images in a step", kBatches);
  o.choose("optimizer", optimizer.kind, kOptimizers, "What follows the gradient");
  o.add("lr", lr, "Learning rate at its peak", kPositive);
  o.choose("schedule", schedule, kSchedules,
      "Of the learning rate; poly: (1 - t/T)^0.9; auto: poly, with bcp constant");
  o.add("lr-warm-up", lr_warm_up, "Steps over which the learning rate grows to its peak", kNotNegative);
  o.add("momentum", optimizer.momentum, "Of SGD", Range{0, 1});
  o.add("weight-decay", optimizer.weight_decay, "L2, part of the gradient", kNotNegative);
  o.add("seed", seed, "Decides initial weights, batches, augmentation, dropout and sampling");

  o.group("Network");
  o.add("widths", network.widths, "Channels per level", Range{1, 65536});
  o.add("dropout", network.dropout, "Dropout rate per encoder level", Range{0, 1});
  o.choose("norm", network.norm, names_of(kNormKinds), "Norm of the UNet's blocks");
  o.add("decoder-norm", network.decoder_norm, "Norm in the decoder too");
  o.choose("up", network.up, names_of(kUpsamplings), "How the decoder doubles height and width");
  o.choose("uafs", network.gates, names_of(kGates),
      "Features weighted by their uncertainty (Li et al. 2022), behind the decoder's blocks or all");
  o.add("uafs-classes", network.gate_classes, "Classes whose entropy is the uncertainty; 1: a sigmoid's",
      Range{1, 65536});
  o.add("uafs-kernel", network.gate_kernel, "Side of its first convolution, odd", Range{1, 31});
  o.choose("dtype", dtype, kFloatTypes, "Numbers of weights and activations");
  o.add("fused", network.fused, "Batch norm, activation and dropout in one pass");

  o.group("Running");
  o.add("out", out, "Run folder: config, metrics, checkpoints, pictures");
  o.add("val-every", val_every, "Steps between validations; 0: at the end only", kNotNegative);
  o.add("log-every", log_every, "Steps between lines of metrics.jsonl", at_least(1));
  o.add("picture-every", picture_every, "Steps between pictures of what the method sees; 0: at the end only",
      kNotNegative);
  o.add("audit-every", audit_every,
      "Steps between spot checks of the gradient in f64 (audit.jsonl); 0: never", kNotNegative);
  o.add("tensorboard", tensorboard, "Also write events for TensorBoard: losses, scores; with --png overlays");
  o.add("png", png, "Pictures as PNG, not as SVG with text that stays text");
  o.add("threads", threads, "CPU threads; 0: all. Results do not depend on it", kNotNegative);
  o.choose(
      "kernels", kernels, kKernelNames, "Reference loops, direct sums, or fast (Winograd where it wins)");
  o.choose("device", device, kDeviceNames, "Where it runs");
  o.choose("math", math, kTrainingMath,
      "f32; bf16: maps and factors of 8 bits, faster, smaller, coarser; tf32: factors of 10, on the GPU");
  o.add("graph", graph, "On the GPU, all methods but patchcl: record a step's kernels once and replay them");
  o.add("anomaly", anomaly, "Check every value of every op and stop at the first that is not finite (slow)");
}

void TrainConfig::resolve() {
  if (schedule == Schedule::automatic) schedule = make_method(method)->usual_schedule();
  if (optimizer.kind == OptimizerKind::adam && optimizer.momentum != OptimizerOptions().momentum)
    fail(ExitCode::usage, "options", "--momentum ", optimizer.momentum,
        " has no effect with --optimizer adam; leave it out");
  if (window > size)
    fail(ExitCode::usage, "options", "--window ", window, " is larger than the images of --size ", size,
        "; a window is a part of them");
  const UNetConfig usual;
  const std::string centre = name_of(WindowAt::centre, kWindowPlaces);
  const bool gated = network.gates != Gates::none;
  refuse_without(gated, "--uafs", "--uafs-classes", network.gate_classes, usual.gate_classes);
  refuse_without(gated, "--uafs", "--uafs-kernel", network.gate_kernel, usual.gate_kernel);
  refuse_without(border > 0, "--border", "--border-weight", border_weight, 0.0);
  refuse_without(window > 0, "--window", "--window-at", name_of(window_at, kWindowPlaces), centre);
  refuse_without(window > 0, "--window", "--whole-share", whole_share, 0.0);
  refuse_without(whole_share > 0, "--whole-share", "--whole-batch", whole_batch, int64_t(0));
  const Device there = device_of(device);
  device = there == Device::cuda ? DeviceChoice::cuda : DeviceChoice::cpu;
  if (math == MathMode::tf32 && there == Device::cpu)
    fail(ExitCode::usage, "options", "--math tf32 is for the GPU; on the CPU there are f32 and bf16");
  if (threads > 0) set_threads(threads);
  threads = patchcl::threads();
  set_kernels(kernels);
  set_math_mode(math);
}

void declare_read_options(OptionList& o, ReadOptions& read) {
  o.add("label-values", read.label_values, "Values of grey masks in the order of the classes: 0,128,255");
  o.add("label-colors", read.label_colors, "Colours of masks in the order of the classes: \"0,0,0;255,0,0\"");
  o.add("group", read.group,
      "Regular expression that finds the patient in a name, as its first group; unset: up to _frame or "
      "_slice");
  o.add("instance-masks", read.instance_masks,
      "Masks number objects (glands): 0 background, any other number class 1");
}

int64_t TrainConfig::pictured(int64_t step) const {
  if (step == iters || val_every == 0) return step;
  const int64_t validations = (iters / val_every + 7) / 8;
  return step % (val_every * std::max<int64_t>(validations, 1)) == 0 ? step : 0;
}

std::string TrainConfig::describe() const {
  TextOut s;
  const std::string cpu = "CPU (" + instructions() + ")";
  s << "run: " << method << ", " << iters << " steps of " << batch << " images, "
    << (device == DeviceChoice::cuda ? "GPU" : cpu) << ", " << threads << " thread"
    << (threads == 1 ? "" : "s") << ", into " << printable(out) << "\n";
  return s.str();
}

DatasetOptions TrainConfig::dataset_options() const {
  return {.labeled = labeled, .validation = val, .tune = tune, .border = border, .fold = fold, .read = read};
}

RunShape TrainConfig::run_shape() const {
  RunShape run{.iterations = iters, .batch = batch, .size = window > 0 ? window : size};
  run.size_multiple = int64_t(1) << (network.widths.size() - 1);
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

std::string method_of(const std::vector<std::string>& arguments, const std::string& otherwise) {
  const std::string named = value_of(arguments, "--method");
  if (!named.empty()) return named;
  const std::string file = value_of(arguments, "--config"), run = value_of(arguments, "--resume");
  if (!file.empty()) return method_in(read_text(file, ExitCode::usage), otherwise);
  if (!run.empty()) return method_in(saved_config(run), otherwise);
  return otherwise;
}

void check_train_options(const std::vector<std::string>& arguments) {
  TrainConfig config;
  config.method = method_of(arguments, config.method);
  CLI::App app;
  const std::shared_ptr<Method> method = declare_options(app, config);
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));  // CLI11 takes the last first
  } catch (const CLI::ParseError& e) {
    fail(ExitCode::usage, "options", e.what());
  }
  method->resolve(config.run_shape());
}

std::string to_toml(TrainConfig config, const Method& method) {
  OptionList general;
  config.declare(general);
  return general.toml() + method.options().toml();
}

TrainConfig from_toml(const std::string& text, const std::string& where) {
  TrainConfig config;
  OptionList general;
  config.declare(general);
  try {
    const std::vector<CLI::ConfigItem> items = items_of(text);
    const std::unique_ptr<Method> method = make_method(method_in(text, config.method));
    for (const CLI::ConfigItem& item : items)
      (general.contains(item.name) ? general : method->options()).set(item.name, joined(item.inputs));
    config.method_options = method->options().values();
  } catch (const std::exception& e) {
    fail(ExitCode::checkpoint, "train", where, " cannot be read: ", e.what());
  }
  return config;
}

namespace {
// It can be read and names every option that has a value unasked; a part of a file does not.
bool is_whole(const std::string& toml) {
  try {
    std::set<std::string> found;
    for (const CLI::ConfigItem& item : items_of(toml)) found.insert(item.name);
    const std::unique_ptr<Method> method = make_method(method_in(toml, ""));
    TrainConfig config;
    OptionList general;
    config.declare(general);
    OptionValues wanted = general.values();
    for (const auto& option : method->options().values()) wanted.push_back(option);
    return toml.ends_with('\n') && std::all_of(wanted.begin(), wanted.end(), [&](const auto& option) {
      return option.second.empty() || found.contains(option.first);
    });
  } catch (const std::exception&) {
    return false;
  }
}
}  // namespace

std::string saved_config(const std::string& run) {
  const std::string file = folder_of(run) + "/config.toml";
  if (std::filesystem::exists(file)) {
    const std::string toml = read_text(file, ExitCode::checkpoint);
    if (is_whole(toml)) return toml;
    std::fprintf(stderr, "%s is damaged or of another version; going on with what the checkpoint holds\n",
        file.c_str());
  }
  return config_of(checkpoint_path(run));
}

}  // namespace patchcl
