#include "train/commands/inference_flags.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>

#include "tensor/device.h"
#include "tensor/file.h"
#include "tensor/parallel.h"
#include "tensor/text.h"
#include "train/commands/class_names.h"
#include "train/commands/score_output.h"
#include "train/setup/config.h"

namespace patchcl {

namespace {
// "A,B" as two, unless that is the name of one.
std::vector<std::string> paths_in(const std::vector<std::string>& given) {
  std::vector<std::string> paths;
  for (const std::string& word : given) {
    std::error_code none;
    if (word.empty() || std::filesystem::exists(word, none)) {
      paths.push_back(word);
      continue;
    }
    TextIn in(word);
    for (std::string path; std::getline(in, path, ',');) paths.push_back(path);
  }
  return paths;
}

// In int8 a NaN would become some number, and nobody would see it.
void demand_finite(const Model& model, const std::string& path) {
  const auto look = [&](const ParamInfo& info, const Tensor& values) {
    if (!all_finite(values))
      fail(ExitCode::non_finite, "weights", path, ": ", info.name,
          " holds NaN or infinity, so no mask means anything; take weights of an earlier step or of a lower "
          "--lr");
  };
  const ParamStore& w = model.weights;
  for (size_t i = 0; i < w.layout().parameters().size(); ++i)
    look(w.layout().parameters()[i], w.value(int(i)));
  for (size_t i = 0; i < w.layout().buffers().size(); ++i) look(w.layout().buffers()[i], w.buffer(int(i)));
}

}  // namespace

void InferenceFlags::add(CLI::App& app) {
  app.add_option_function<std::vector<std::string>>(
         "--weights", [this](const std::vector<std::string>& given) { weights = paths_in(given); },
         "Weights: a safetensors file of `train` or a converted PyTorch checkpoint, or a run folder (its "
         "best, else its last); several (A,B,C, or the option again) predict together, with the mean of "
         "their probabilities")
      ->allow_extra_args(false)
      ->required();
  app.add_flag("--teacher", teacher, "Of a run's last checkpoint the teacher, not the student");
  app.add_flag(
      "--tta", turns, "Mean of the probabilities over the eight flips and quarter turns of the input");
  app.add_flag("--largest-component", largest_component, "Of each class only the largest component stays");
  app.add_option("--overlays", overlays, "Also draw each case's middle slice with its mask into this folder");
  app.add_flag("--png", png, "Draw them as PNG, not as SVG")->needs("--overlays");
  app.add_option("--size", size, "Side of the network's input; 0: that of the weights")
      ->check(CLI::Range(int64_t(0), int64_t(kSides.most)))
      ->capture_default_str();
  OptionList list;
  list.choose("fit", fit, kFitNames,
      "resize, bilinear: zoom each slice to the network; crop: overlapping windows at native resolution; "
      "auto: as trained");
  list.declare_to(app);
  app.add_flag("--bilinear-back", bilinear_back,
      "Logits zoom back to the image bilinearly, not labels to the nearest pixel; a variant, to be named "
      "beside its scores");
  app.add_option("--overlap", overlap, "With crop: share of a window that its neighbour covers too")
      ->capture_default_str();
  app.add_option("--batch", batch, "Slices or windows in one forward pass")
      ->check(CLI::Range(int64_t(1), int64_t(kBatches.most)))
      ->capture_default_str();
  app.add_option("--threads", threads, "CPU threads; 0: all cores")->capture_default_str();
  app.add_option("--math", math,
         "f32; bf16: maps and factors of 8 bits, faster, smaller and coarser; int8: factors are bytes, for "
         "weights of `patchcl calibrate`")
      ->check(CLI::IsMember({"f32", "bf16", "int8"}))
      ->capture_default_str();
}

std::vector<std::unique_ptr<Model>> InferenceFlags::load(const Arena& arena) const {
  if (threads > 0) set_threads(threads);
  set_math_mode(parse_math(math));
  std::vector<std::unique_ptr<Model>> models;
  for (const std::string& path : weights) {
    models.push_back(load_model(path, arena, teacher));
    demand_finite(*models.back(), path);
    const ModelInfo &first = models.front()->info, &info = models.back()->info;
    if (math == "int8" && !info.unet.ranges)
      fail(ExitCode::usage, "weights", path,
          " has no ranges of its maps, which --math int8 wants; make a file "
          "that does: patchcl calibrate --weights ",
          in_shell(path), " --data TRAINING-DATA --out int8.safetensors");
    if (info.unet.classes != first.unet.classes || info.size != first.size || info.fit != first.fit ||
        info.border != first.border)
      fail(ExitCode::usage, "weights", path, " has ", info.unet.classes, " classes at size ", info.size, ", ",
          weights.front(), " has ", first.unet.classes, " at ", first.size,
          "; networks that predict together must agree, in --fit and --border too");
    demand_same_classes({weights.front(), class_names_of(first)}, {path, class_names_of(info)},
        "; networks that predict together must agree, train one of them again");
  }
  return models;
}

Ensemble ensemble_of(const std::vector<std::unique_ptr<Model>>& models) {
  Ensemble ensemble;
  for (const auto& model : models) ensemble.push_back({&model->unet, &model->weights});
  return ensemble;
}

ObjectOptions InferenceFlags::objects(const ModelInfo& info, ObjectOptions o) const {
  if (info.border == 0) return o;
  if (o.border_class != 0)
    fail(ExitCode::usage, "objects", "these weights have a border class of their own, ",
        info.classes_without_border(), ", ", info.border, " pixels wide; leave --border-class out");
  if (largest_component)
    fail(ExitCode::usage, "objects",
        "--largest-component has no effect on objects of weights with a border "
        "class; leave it out");
  o.border_class = info.classes_without_border();
  o.border_width = info.border;
  return o;
}

std::string InferenceFlags::overlay_of(const std::string& id) const {
  return overlays + "/" + file_name_of(id) + (png ? ".png" : ".svg");
}

void InferenceFlags::describe(const ModelInfo& info, const InferenceOptions& options, About& about) const {
  const auto name_of_fit = [](Fit f) { return fit_names().at(size_t(f)); };
  about.add("teacher", teacher, false);
  about.add("fit", name_of_fit(options.fit), name_of_fit(info.fit));
  about.add("size", options.size, info.size);
  if (options.fit == Fit::crop) about.add("overlap", overlap, InferenceFlags{}.overlap);
  about.add("tta", turns, false);
  about.add("bilinear-back", bilinear_back, false);
  about.add("largest-component", largest_component, false);
  about.add("math", math, InferenceFlags{}.math);
}

InferenceOptions InferenceFlags::resolve(const std::vector<std::unique_ptr<Model>>& models) const {
  const ModelInfo& info = models.front()->info;
  InferenceOptions o;
  o.fit = fit.value_or(info.fit);
  o.size = size == 0 ? info.size : size;
  if (size > 0) {
    int64_t step = 1;  // a power of 2
    for (const auto& model : models) step = std::max(step, model->info.unet.size_multiple());
    o.size = chunks(size, step) * step;
    if (o.size != size)
      std::fprintf(stderr, "--size %lld is taken as %lld, a multiple of %lld: the network halves its input\n",
          static_cast<long long>(size), static_cast<long long>(o.size), static_cast<long long>(step));
  }
  o.batch = batch;
  o.overlap = overlap;
  o.turns = turns;
  o.bilinear_back = bilinear_back;
  o.border = info.border;
  o.largest_component = largest_component;
  return o;
}

}  // namespace patchcl
