// patchcl score: masks against masks, whoever made them.
#include <CLI/CLI.hpp>
#include <algorithm>

#include "tensor/error.h"
#include "train/commands/command.h"
#include "train/commands/data_flags.h"
#include "train/commands/score_masks.h"
#include "train/commands/score_output.h"
#include "train/evaluate/progress.h"
#include "train/options/option_list.h"

namespace patchcl {

namespace {

struct ScoreFlags {
  ScoreOutput output;
  std::string reference, prediction;
  ReadOptions read;
  bool binary = false, instances = false, components = false;
  PredictionHolds holds = PredictionHolds::fit;
  ObjectOptions objects;
};

const Names<PredictionHolds> kHolds{{"auto", PredictionHolds::fit}, {"classes", PredictionHolds::classes},
    {"values", PredictionHolds::values}};

std::vector<CaseScores> score_cases(
    const ScoreFlags& flags, const std::vector<MaskPair>& pairs, const ClassMasks& masks) {
  std::vector<CaseScores> cases;
  ProgressLine line(int64_t(pairs.size()), {.item = "case", .out = stderr});
  for (const MaskPair& pair : pairs) {
    const auto [reference, prediction] = masks.read(pair);
    demand_spacing(flags.output.metrics(), reference.spacing_known, pair.reference);
    const std::vector<uint8_t> r(reference.values.begin(), reference.values.end()),
        p(prediction.values.begin(), prediction.values.end());
    cases.push_back(score_case(pair.id, p.data(), r.data(), int(masks.names().size()) + 1, reference.extent,
        flags.output.metrics()));
    line.update(int64_t(cases.size()));
  }
  return cases;
}

void score_classes(const ScoreFlags& flags, const std::vector<MaskPair>& pairs, const About& about) {
  const ClassMasks masks(
      pairs, parse_label_map(flags.read.label_values, flags.read.label_colors), flags.binary, flags.holds);
  flags.output.write(summarise(score_cases(flags, pairs, masks)), masks.names(), about);
}

// The prediction's components where it holds classes, its numbers where it holds objects.
std::vector<int32_t> predicted_objects(
    const ScoreFlags& flags, const MaskPair& pair, const NumberedMask& mask) {
  if (!flags.components) return mask.values;
  const auto most = std::max_element(mask.values.begin(), mask.values.end());
  if (mask.extent.depth != 1 || *most > 255)
    fail(ExitCode::data, "score", pair.prediction, " has ", mask.extent.depth, " slices and numbers up to ",
        *most, "; --components needs one slice of classes up to 255");
  const std::vector<uint8_t> classes(mask.values.begin(), mask.values.end());
  return number_objects(classes.data(), mask.extent.height, mask.extent.width, flags.objects);
}

std::vector<ObjectSummary::Image> count_objects(const ScoreFlags& flags, const std::vector<MaskPair>& pairs) {
  std::vector<ObjectSummary::Image> images;
  ProgressLine line(int64_t(pairs.size()), {.item = "image", .out = stderr});
  for (const MaskPair& pair : pairs) {
    const auto [reference, prediction] = read_numbers(pair);
    demand_spacing(flags.output.metrics(), reference.spacing_known, pair.reference);
    MaskExtent extent = reference.extent;
    if (flags.output.metrics().spacing == Spacing::voxel) extent.spacing = {1, 1, 1};
    images.push_back(
        {pair.id, sum_objects(predicted_objects(flags, pair, prediction), reference.values, extent)});
    line.update(int64_t(images.size()));
  }
  return images;
}

int run(const ScoreFlags& flags) {
  const bool lists = !flags.read.label_values.empty() || !flags.read.label_colors.empty();
  if (flags.holds != PredictionHolds::fit && !lists)
    fail(ExitCode::usage, "score",
        "--prediction-holds has an effect with --label-values or --label-colors only; leave it out");
  flags.output.prepare();
  const std::vector<MaskPair> pairs = mask_pairs(flags.reference, flags.prediction);
  About about;
  about.json = {{"reference", flags.reference}, {"prediction", flags.prediction}};
  if (flags.instances) flags.output.write(summarise_objects(count_objects(flags, pairs)), about);
  else score_classes(flags, pairs, about);
  return int(ExitCode::ok);
}

const AddCommand add{{22, "score", "Score masks against reference masks, any program's",
    "Examples:\n"
    "  patchcl score labelsTs/ predictions/                        folders; masks pair by equal names\n"
    "  patchcl score truth.nii.gz mask.nii.gz --spacing mm --json scores.json\n"
    "  patchcl score glands/ masks/ --instances --components       numbered glands against a class's "
    "components\n"
    "Masks hold 0, 1, 2 ..., or 0 and 255 alone. What --label-values and --label-colors list are "
    "those of the reference; a prediction holds the same, or class numbers as `predict` writes them: "
    "--prediction-holds says which where its numbers fit both.\n",
    [](CLI::App& app) -> std::function<int()> {
      auto flags = std::make_shared<ScoreFlags>();
      app.add_option("reference", flags->reference, "Mask (.png, .nii, .nii.gz, .h5), or a folder of them")
          ->required();
      app.add_option("prediction", flags->prediction, "What is scored, likewise")->required();
      flags->output.add(app);
      add_label_options(app, flags->read);
      OptionList list;
      list.choose("prediction-holds", flags->holds, kHolds,
          "What predictions hold beside --label-values or --label-colors: class numbers, as `predict` "
          "writes them, or the listed values; auto: what they fit");
      list.declare_to(app);
      CLI::Option* binary = app.add_flag("--binary", flags->binary, "Every class but the first is one class");
      app.add_flag("--instances", flags->instances,
             "Masks number objects: object F1, Dice and Hausdorff, as the GlaS challenge scores glands")
          ->excludes(binary)
          ->excludes(app.get_option("--label-values"))
          ->excludes(app.get_option("--label-colors"))
          ->excludes(app.get_option("--empty"));
      app.add_flag("--components", flags->components,
             "The prediction holds classes, whose connected components are its objects")
          ->needs("--instances");
      add_object_options(app, flags->objects, "--components");
      return [flags] { return run(*flags); };
    }}};

}  // namespace

}  // namespace patchcl
