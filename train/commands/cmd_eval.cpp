// patchcl eval: segments the held-out cases of a data set and scores the masks, or the objects in them.
#include <CLI/CLI.hpp>
#include <optional>

#include "train/commands/class_names.h"
#include "train/commands/command.h"
#include "train/commands/data_flags.h"
#include "train/commands/inference_flags.h"
#include "train/commands/output_files.h"
#include "train/commands/score_output.h"
#include "train/evaluate/progress.h"
#include "train/evaluate/report.h"
#include "train/evaluate/table.h"
#include "train/evaluate/uncertainty_panels.h"

namespace patchcl {

namespace {

struct EvalFlags {
  InferenceFlags inference;
  ScoreOutput output;
  std::string data;
  DatasetOptions dataset;
  bool objects = false;
  ObjectOptions object_options;
};

// The reference's numbered objects, or the components of its classes, against the objects of the prediction.
ObjectSummary::Image count_objects(
    const Volume& v, const std::vector<uint8_t>& prediction, const ObjectOptions& options, Spacing spacing) {
  if (v.depth != 1)
    fail(ExitCode::usage, "eval", "'", v.id, "' has ", v.depth, " slices; --objects counts in single images");
  MaskExtent extent{1, v.height, v.width};
  if (spacing == Spacing::mm) extent.spacing = v.spacing;
  const ObjectOptions as_it_is{.least = 1, .fill_holes = false};
  return {
      v.id, sum_objects(number_objects(prediction.data(), v.height, v.width, options),
                v.objects.empty() ? number_objects(v.label.data(), v.height, v.width, as_it_is) : v.objects,
                extent)};
}

// Error(usage) for an overlay in the place of a file that the data set reads, or of another overlay.
void demand_free_overlays(const EvalFlags& flags, OutputFiles files, const Dataset& data) {
  if (flags.inference.overlays.empty()) return;
  for (int64_t i = 0; i < data.validation_cases(); ++i) {
    const std::string& id = data.validation_id(i);
    files.add(flags.inference.overlay_of(id), "the overlay of " + id);
  }
}

// What was scored, and how its masks were made.
About about_masks(const EvalFlags& flags, const ModelInfo& info, const InferenceOptions& inference) {
  About about;
  about.json = {{"weights", flags.inference.weights}, {"data", flags.data}};
  describe_split(flags.dataset, about);
  flags.inference.describe(info, inference, about);
  if (flags.objects)
    describe_objects(flags.inference.objects(info, flags.object_options),
        flags.inference.objects(info, ObjectOptions{}), about);
  return about;
}

int eval(const EvalFlags& flags) {
  flags.output.prepare();
  const Arena arena("evaluation");
  const auto models = flags.inference.load(arena);
  const ModelInfo& info = models.front()->info;
  DatasetOptions options = flags.dataset;
  options.classes = info.classes_without_border();
  const ObjectOptions object_options =
      flags.objects ? flags.inference.objects(info, flags.object_options) : ObjectOptions{};
  Layout layout = open_layout(flags.data, options.read);
  OutputFiles files("eval");
  if (!flags.inference.overlays.empty()) files.keep_files_of(layout);
  const Dataset data(std::move(layout), options);
  const int64_t count = data.validation_cases();
  if (count == 0) fail_empty_split("eval", flags.data, options, /*labeled_only=*/true);
  demand_free_overlays(flags, std::move(files), data);
  demand_same_classes({flags.inference.weights.front(), class_names_of(info)},
      {flags.data, data.class_names()}, renumbered(options.read, data.class_names(), class_names_of(info)));
  std::vector<ObjectSummary::Image> images;
  const std::vector<std::string> names = foreground_names(info, data.class_names());
  const Ensemble networks = ensemble_of(models);
  const InferenceOptions inference = flags.inference.resolve(models);
  const MetricOptions metrics = flags.output.metrics();
  std::optional<ProgressLine> line(
      std::in_place, count, ProgressLine::Options{.item = "case", .out = stderr});
  int64_t done = 0;
  const auto see = [&](const Volume& v, const Segmentation& prediction, const CaseScores& scores) {
    if (!flags.inference.overlays.empty())
      save_overlay(flags.inference.overlay_of(v.id),
          with_uncertainty(overlay(v, prediction.classes, dice_legend(names, scores)), networks.front(), v,
              inference, arena));
    if (flags.objects)
      images.push_back(count_objects(v, prediction.of_network, object_options, metrics.spacing));
    line->update(++done);
  };
  const Summary summary = validate(
      networks, count, [&](int64_t i) { return data.validation(i); }, inference, metrics, arena, see);
  line.reset();  // the table stands on lines of its own
  const About about = about_masks(flags, info, inference);
  if (flags.objects) flags.output.write(summarise_objects(std::move(images)), about);
  else flags.output.write(summary, names, about);
  return int(ExitCode::ok);
}

const AddCommand add{{20, "eval", "Score a network on the held-out cases of a data set",
    "Examples:\n"
    "  patchcl eval --data acdc --weights runs/acdc/best.safetensors --preset ssl4mis\n"
    "  patchcl eval --data hippocampus --val 20 --weights best.safetensors --spacing mm --empty penalty "
    "--json scores.json\n"
    "  patchcl eval --data acdc --split test --weights best.safetensors\n",
    [](CLI::App& app) -> std::function<int()> {
      auto flags = std::make_shared<EvalFlags>();
      flags->inference.add(app);
      app.add_option("--data", flags->data, "Folder of a data set, or phantom[:...]")->required();
      add_split_options(app, flags->dataset);
      flags->output.add(app);
      app.add_flag("--objects", flags->objects,
             "Score objects instead of classes: connected components, as the GlaS challenge scores glands")
          ->excludes(app.get_option("--empty"));
      add_object_options(app, flags->object_options, "--objects");
      return [flags, &app] {
        take_split_of_run(app, flags->inference.weights, flags->data, flags->dataset);
        return eval(*flags);
      };
    }}};

}  // namespace

}  // namespace patchcl
