#include "train/setup/config.h"

#include <CLI/CLI.hpp>
#include <filesystem>

#include "tensor/error.h"

namespace patchcl {

void add_options(CLI::App& app, TrainConfig& c) {
  app.set_config("--config", "", "TOML file with any of these options; the command line wins");
  app.allow_config_extras(CLI::config_extras_mode::error);
  // The last one wins, so that a plan's variant may say otherwise than the plan.
  app.option_defaults()->always_capture_default()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);

  app.add_option("--method", c.method, "supervised, mean-teacher, ua-mt, fixmatch or patchcl");

  auto* data = app.add_option_group("Data");
  data->add_option("--data", c.data,
      "Folder (SSL4MIS, image folder, MSD or nnU-Net layout), or phantom[:cases=40,size=96,...]");
  data->add_option("--labeled", c.labeled, "Labelled cases, the first of the list; -1: all");
  data->add_option("--val", c.val, "Held-out cases where the folder has no validation list; -1: one in five");
  data->add_option("--size", c.size, "Height and width of the network's input")->check(CLI::PositiveNumber);
  data->add_option("--augment", c.augment, "none, ssl4mis, ssl4mis-2025 or flips");

  auto* optimisation = app.add_option_group("Optimisation");
  optimisation->add_option("--iters", c.iters, "Training steps")->check(CLI::PositiveNumber);
  optimisation->add_option("--batch", c.batch, "Images in a step")->check(CLI::PositiveNumber);
  optimisation->add_option(
      "--labeled-batch", c.labeled_batch, "Labelled images in a semi-supervised step; 0: half of them");
  optimisation->add_option("--optimizer", c.optimizer, "sgd or adam")->check(CLI::IsMember({"sgd", "adam"}));
  optimisation->add_option("--lr", c.lr, "Learning rate at step 0; falls as (1 - t/T)^0.9");
  optimisation->add_option("--momentum", c.momentum, "Of SGD");
  optimisation->add_option("--weight-decay", c.weight_decay, "L2, part of the gradient");
  optimisation->add_option(
      "--seed", c.seed, "Decides initial weights, batches, augmentation, dropout and sampling");

  auto* network = app.add_option_group("Network");
  network->add_option("--widths", c.widths, "Channels per level")->delimiter(',');
  network->add_option("--dropout", c.dropout, "Dropout rate per encoder level")->delimiter(',');
  network->add_option("--dtype", c.dtype, "f32 or f64")->check(CLI::IsMember({"f32", "f64"}));
  network->add_option("--fused", c.fused, "Batch norm, activation and dropout in one pass");

  auto* running = app.add_option_group("Running");
  running->add_option("--out", c.out, "Run folder: config, metrics, checkpoints, pictures");
  running->add_option("--resume", c.resume, "Run folder or checkpoint to go on from, bit for bit")
      ->configurable(false);
  running->add_option("--val-every", c.val_every, "Steps between validations; 0: at the end only");
  running->add_option("--log-every", c.log_every, "Steps between lines of metrics.jsonl")
      ->check(CLI::PositiveNumber);
  running->add_option("--picture-every", c.picture_every,
      "Steps between pictures of what the method sees; 0: at the end only");
  running->add_option("--audit-every", c.audit_every,
      "Steps between spot checks of the gradient in f64 (audit.jsonl); 0: never");
  running->add_option("--threads", c.threads, "CPU threads; 0: all. Results do not depend on it");
  running
      ->add_option(
          "--kernels", c.kernels, "naive (reference loops), direct, or fast (Winograd where it wins)")
      ->check(CLI::IsMember(kernel_names()));
  running->add_option("--device", c.device, "auto, cpu or cuda")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}));
  running
      ->add_option("--math", c.math,
          "On the GPU: f32, tf32 (tensor cores, factors of 10 bits) or bf16 (activations of 8 bits)")
      ->check(CLI::IsMember(math_names()));
  running->add_option("--graph", c.graph,
      "On the GPU (all methods but patchcl): record a step's kernels once and replay them");
  running->add_flag("--anomaly", c.anomaly,
      "Check every value of every op and stop at the first that is not finite (slow)");

  c.methods.add(app);
}

std::string read_run_options(const std::string& run, TrainConfig& config) {
  const std::filesystem::path at(run);
  const auto file = (std::filesystem::is_directory(at) ? at : at.parent_path()) / "config.toml";
  if (!std::filesystem::exists(file)) return "";
  config = TrainConfig();
  CLI::App saved;
  add_options(saved, config);
  try {
    saved.parse("--config \"" + file.string() + "\"", /*program_name_included=*/false);
  } catch (const CLI::ParseError& e) {
    fail(ExitCode::checkpoint, "train", file.string(), " cannot be read: ", e.what());
  }
  config.out = file.parent_path().string();
  return saved.config_to_str(/*default_also=*/true, /*write_description=*/false);
}

DType parse_dtype(const std::string& name) { return name == "f64" ? DType::f64 : DType::f32; }

Device parse_device(const std::string& name) {
  if (name == "cpu") return Device::cpu;
  std::string why;
  if (cuda_available(&why)) return Device::cuda;
  if (name == "cuda")
    fail(ExitCode::device, "device", "--device cuda was asked for, but ", why, "; use --device cpu");
  return Device::cpu;
}

}  // namespace patchcl
