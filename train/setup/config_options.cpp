// The options of `patchcl train` that are no method's, and which of them do not fit together.
#include <algorithm>

#include "tensor/parallel.h"
#include "train/setup/config.h"

namespace patchcl {

const Names<DType> kFloatTypes{{"f32", DType::f32}, {"f64", DType::f64}};
const Names<Kernels> kKernelNames = in_order<Kernels>(kernel_names());
const Names<MathMode> kMathNames = in_order<MathMode>(math_names());
const Names<DeviceChoice> kDeviceNames{
    {"auto", DeviceChoice::automatic}, {"cpu", DeviceChoice::cpu}, {"cuda", DeviceChoice::cuda}};

const Names<std::optional<Fit>> kFitNames = [] {
  Names<std::optional<Fit>> names{{"auto", std::nullopt}};
  for (const auto& [name, fit] : in_order<Fit>(fit_names())) names.push_back({name, fit});
  return names;
}();

namespace {
const Names<MathMode> kTrainingMath{
    {"f32", MathMode::f32}, {"tf32", MathMode::tf32}, {"bf16", MathMode::bf16}};

const Names<Augmentation> kAugmentations = in_order<Augmentation>(augmentation_names());
const Names<WindowAt> kWindowPlaces = in_order<WindowAt>({"centre", "uniform", "foreground"});
const Names<OptimizerKind> kOptimizers{{"sgd", OptimizerKind::sgd}, {"adam", OptimizerKind::adam}};
const Names<Schedule> kSchedules{{"auto", Schedule::automatic}, {"poly", Schedule::poly},
    {"constant", Schedule::constant}, {"cosine", Schedule::cosine}};

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
      "Labelled cases: a count (7) or share (10%) of the list's first, or a file that names patients or "
      "images; -1: all");
  o.add("val", c.val,
      "Held-out patients: the last, or the first of a validation list; -1: one in five, or all of the list",
      at_least(-1));
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
  o.choose("fit", c.fit, kFitNames,
      "How images meet it: resized as a whole, to the nearest pixel or bilinearly, or cut at their own "
      "scale; auto: resized, but cut where a folder has pictures and none is smaller than that");
  o.add("bilinear-labels", c.bilinear_labels,
      "Labels bilinearly too, which makes other classes where two meet: Hu et al.'s released code");
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

void declare_threads(OptionList& o, int& threads) {
  o.add("threads", threads, "CPU threads; 0: all. Results do not depend on it", kNotNegative);
}

void use_threads(int threads) {
  if (threads > 0) set_threads(threads);
}

Names<std::string> method_choices() {
  Names<std::string> names;
  for (const MethodEntry& m : methods()) names.push_back({m.name, m.name});
  return names;
}

void declare_network_options(OptionList& o, UNetConfig& c) {
  o.group("Network");
  o.add("widths", c.widths, "Channels per level", Range{1, kMostChannels});
  o.add("dropout", c.dropout, "Dropout rate per encoder level", kShareBelowOne);
  o.choose("norm", c.norm, kNormKinds, "Norm of the UNet's blocks");
  o.add("decoder-norm", c.decoder_norm, "Norm in the decoder too");
  o.choose("up", c.up, kUpsamplings, "How the decoder doubles height and width");
  o.choose("uafs", c.gates, kGates,
      "Features weighted by their uncertainty (Li et al. 2022), behind the decoder's blocks or all");
  o.add("uafs-classes", c.gate_classes, "Classes whose entropy is the uncertainty; 1: a sigmoid's",
      Range{1, kMostChannels});
  o.add("uafs-kernel", c.gate_kernel, "Side of its first convolution, odd", Range{1, kLargestGateKernel});
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

  declare_network_options(o, network);
  o.choose("dtype", dtype, kFloatTypes, "Numbers of weights and activations");
  o.add("fused", network.fused, "Batch norm, activation and dropout in one pass");

  o.group("Running");
  o.add("out", out, "Run folder: config, metrics, checkpoints, pictures");
  o.add("val-every", val_every, "Steps between validations; 0: at the end only", kNotNegative);
  o.add("checkpoint-every", checkpoint_every,
      "Steps between checkpoints, beside those at validations; 0: none, but at a signal and at the end",
      kNotNegative);
  o.add("log-every", log_every, "Steps between lines of metrics.jsonl", at_least(1));
  o.add("picture-every", picture_every, "Steps between pictures of what the method sees; 0: at the end only",
      kNotNegative);
  o.add("audit-every", audit_every,
      "Steps between spot checks of the gradient in f64 (audit.jsonl); 0: never", kNotNegative);
  o.add("tensorboard", tensorboard, "Also write events for TensorBoard: losses, scores; with --png overlays");
  o.add("png", png, "Pictures as PNG, not as SVG with text that stays text");
  declare_threads(o, threads);
  o.choose(
      "kernels", kernels, kKernelNames, "Reference loops, direct sums, or fast (Winograd where it wins)");
  o.choose("device", device, kDeviceNames, "Where it runs");
  o.choose("math", math, kTrainingMath,
      "f32; bf16: maps and factors of 8 bits, faster, smaller, coarser; tf32: factors of 10, on the GPU");
  o.add("graph", graph,
      "On the GPU: record a step's kernels once and replay them (methods: patchcl methods --recordable)");
  o.add("anomaly", anomaly, "Check every value of every op and stop at the first that is not finite (slow)");
}

void TrainConfig::resolve(const Dataset& data) {
  fit = fit_of(data);
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
  refuse_without(fit == Fit::bilinear, "--fit bilinear", "--bilinear-labels", bilinear_labels, false);
  refuse_without(border > 0, "--border", "--border-weight", border_weight, 0.0);
  refuse_without(window > 0, "--window", "--window-at", name_of(window_at, kWindowPlaces), centre);
  refuse_without(window > 0, "--window", "--whole-share", whole_share, 0.0);
  refuse_without(whole_share > 0, "--whole-share", "--whole-batch", whole_batch, int64_t(0));
  if (dtype == DType::f64 && math != MathMode::f32)
    fail(ExitCode::usage, "options", "--math ", name_of(math, kTrainingMath),
        " has no effect with --dtype f64, which computes in f64 throughout; leave one of them out");
  if (graph && anomaly)
    fail(ExitCode::usage, "options",
        "--anomaly has no effect with --graph, which replays a step without a look at its values; leave "
        "one of them out");
  const Device there = device_of(device);
  device = there == Device::cuda ? DeviceChoice::cuda : DeviceChoice::cpu;
  if (math == MathMode::tf32 && there == Device::cpu)
    fail(ExitCode::usage, "options", "--math tf32 is for the GPU; on the CPU there are f32 and bf16");
  use_threads(threads);
  threads = patchcl::threads();
  set_kernels(kernels);
  set_math_mode(math);
}

void declare_label_options(OptionList& o, ReadOptions& read) {
  o.add("label-values", read.label_values, "Values of grey masks in the order of the classes: 0,128,255");
  o.add("label-colors", read.label_colors, "Colours of masks in the order of the classes: \"0,0,0;255,0,0\"");
}

void declare_read_options(OptionList& o, ReadOptions& read) {
  declare_label_options(o, read);
  o.add("group", read.group,
      "Regular expression that finds the patient in a name, as its first group; unset: up to _frame or "
      "_slice");
  o.add("instance-masks", read.instance_masks,
      "Masks number objects (glands): 0 background, any other number class 1");
}

}  // namespace patchcl
