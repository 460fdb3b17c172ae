// patchcl score: masks against masks, whoever made them.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <iostream>
#include <limits>
#include <map>
#include <set>

#include "data/formats/image.h"
#include "data/formats/readers.h"
#include "train/commands/command.h"
#include "train/commands/score_output.h"

namespace patchcl {

namespace {

namespace fs = std::filesystem;

struct ScoreFlags {
  ScoreOutput output;
  std::string reference, prediction;
  bool binary = false, instances = false, components = false;
  ObjectOptions objects;
};

struct MaskPair {
  std::string id, reference, prediction;
};

// The masks of a folder by the names of their cases.
std::map<std::string, std::string> masks_of(const std::string& folder) {
  std::map<std::string, std::string> masks;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string path = entry.path();
    if (!entry.is_regular_file() || !is_readable(path)) continue;
    const auto [other, first] = masks.emplace(stem_of(path), path);
    if (!first)
      fail(ExitCode::data, "score", other->second, " and ", path, " are both '", stem_of(path),
          "'; leave one of them in ", folder);
  }
  return masks;
}

std::vector<MaskPair> pairs_of(const std::string& reference, const std::string& prediction) {
  for (const std::string& where : {reference, prediction})
    if (!fs::exists(where)) fail(ExitCode::data, "score", "there is no ", where);
  if (fs::is_directory(reference) != fs::is_directory(prediction))
    fail(ExitCode::usage, "score", reference, " and ", prediction, " must be two files or two folders");
  if (!fs::is_directory(reference)) return {{stem_of(reference), reference, prediction}};
  std::vector<MaskPair> pairs;
  const auto references = masks_of(reference), predictions = masks_of(prediction);
  for (const auto& [id, path] : references) {
    const auto found = predictions.find(id);
    if (found == predictions.end())
      fail(ExitCode::data, "score", prediction, " has no mask '", id, "' for ", path,
          "; masks pair by equal names");
    pairs.push_back({id, path, found->second});
  }
  if (pairs.empty()) fail(ExitCode::data, "score", reference, " holds no mask");
  if (predictions.size() > pairs.size())
    std::cerr << predictions.size() - pairs.size() << " masks of " << prediction << " have no reference in "
              << reference << " and are not scored\n";
  return pairs;
}

struct Mask {
  std::vector<int32_t> values;
  MaskExtent extent;
};

Mask read_mask(const std::string& path) {
  const Format format = format_of(path);
  const Grid grid = format == Format::image ? read_image(path, Use::mask) : read_grid(path, "label");
  if (grid.channels != 1)
    fail(ExitCode::data, "score", path, " has ", grid.channels, " channels; a mask has one number per voxel");
  Mask mask{{}, {grid.depth, grid.height, grid.width, grid.spacing}};
  for (const double v : grid.values) {
    if (!(v >= 0 && v <= std::numeric_limits<int32_t>::max() && v == double(int32_t(v))))
      fail(ExitCode::data, "score", path, " holds ", v, ", which is no class and no object's number");
    mask.values.push_back(int32_t(v));
  }
  return mask;
}

// Reference and prediction, of one size.
std::pair<Mask, Mask> read_pair(const MaskPair& pair) {
  std::pair<Mask, Mask> masks{read_mask(pair.reference), read_mask(pair.prediction)};
  const MaskExtent &r = masks.first.extent, &p = masks.second.extent;
  if (r.depth != p.depth || r.height != p.height || r.width != p.width)
    fail(ExitCode::data, "score", pair.reference, " is ", r.depth, "x", r.height, "x", r.width, ", ",
        pair.prediction, " is ", p.depth, "x", p.height, "x", p.width,
        " (slices, rows, columns); score masks of one size");
  return masks;
}

// The values of all masks in rising order: [0] is the background, the others are the classes.
std::vector<int32_t> classes_of(const std::vector<MaskPair>& pairs, bool binary) {
  std::set<int32_t> values{0};
  for (const MaskPair& pair : pairs) {
    const auto [reference, prediction] = read_pair(pair);
    for (const Mask* mask : {&reference, &prediction})
      for (const int32_t v : mask->values) values.insert(binary ? int32_t(v != 0) : v);
  }
  if (values.size() > 256)
    fail(ExitCode::data, "score", "the masks hold ", values.size(),
        " different numbers; numbered objects are scored with --instances");
  if (values.size() == 1) values.insert(1);
  return {values.begin(), values.end()};
}

std::vector<uint8_t> as_classes(const Mask& mask, const std::vector<int32_t>& classes, bool binary) {
  std::vector<uint8_t> out;
  for (const int32_t v : mask.values) {
    const int32_t value = binary ? int32_t(v != 0) : v;
    out.push_back(uint8_t(std::lower_bound(classes.begin(), classes.end(), value) - classes.begin()));
  }
  return out;
}

void score_classes(
    const ScoreFlags& flags, const std::vector<MaskPair>& pairs, const nlohmann::ordered_json& about) {
  const std::vector<int32_t> classes = classes_of(pairs, flags.binary);
  std::vector<CaseScores> cases;
  for (const MaskPair& pair : pairs) {
    const auto [reference, prediction] = read_pair(pair);
    cases.push_back(score_case(pair.id, as_classes(prediction, classes, flags.binary).data(),
        as_classes(reference, classes, flags.binary).data(), int(classes.size()), reference.extent,
        flags.output.metrics()));
  }
  std::vector<std::string> names;
  for (size_t c = 1; c < classes.size(); ++c) names.push_back("class " + std::to_string(classes[c]));
  flags.output.write(summarise(std::move(cases)), names, about);
}

// The prediction's components where it holds classes, its numbers where it holds objects.
std::vector<int32_t> predicted_objects(const ScoreFlags& flags, const MaskPair& pair, const Mask& mask) {
  if (!flags.components) return mask.values;
  const auto most = std::max_element(mask.values.begin(), mask.values.end());
  if (mask.extent.depth != 1 || *most > 255)
    fail(ExitCode::data, "score", pair.prediction, " has ", mask.extent.depth, " slices and numbers up to ",
        *most, "; --components needs one slice of classes up to 255");
  const std::vector<uint8_t> classes(mask.values.begin(), mask.values.end());
  return number_objects(classes.data(), mask.extent.height, mask.extent.width, flags.objects);
}

void score_objects(
    const ScoreFlags& flags, const std::vector<MaskPair>& pairs, const nlohmann::ordered_json& about) {
  std::vector<ObjectSummary::Image> images;
  for (const MaskPair& pair : pairs) {
    const auto [reference, prediction] = read_pair(pair);
    MaskExtent extent = reference.extent;
    if (flags.output.metrics().spacing == Spacing::voxel) extent.spacing = {1, 1, 1};
    images.push_back(
        {pair.id, sum_objects(predicted_objects(flags, pair, prediction), reference.values, extent)});
  }
  flags.output.write(summarise_objects(std::move(images)), about);
}

int run(const ScoreFlags& flags) {
  flags.output.prepare();
  const std::vector<MaskPair> pairs = pairs_of(flags.reference, flags.prediction);
  const nlohmann::ordered_json about{{"reference", flags.reference}, {"prediction", flags.prediction}};
  if (flags.instances) score_objects(flags, pairs, about);
  else score_classes(flags, pairs, about);
  return int(ExitCode::ok);
}

const AddCommand add{{22, "score", "Score masks against reference masks, any program's",
    "Examples:\n"
    "  patchcl score labelsTs/ predictions/                        folders; masks pair by equal names\n"
    "  patchcl score truth.nii.gz mask.nii.gz --spacing mm --json scores.json\n"
    "  patchcl score glands/ masks/ --instances --components       numbered glands against a class's "
    "components\n",
    [](CLI::App& app) -> std::function<int()> {
      auto flags = std::make_shared<ScoreFlags>();
      app.add_option("reference", flags->reference, "Mask (.png, .nii, .nii.gz, .h5), or a folder of them")
          ->required();
      app.add_option("prediction", flags->prediction, "What is scored, likewise")->required();
      flags->output.add(app);
      CLI::Option* binary = app.add_flag("--binary", flags->binary, "Every number but 0 is one class");
      app.add_flag("--instances", flags->instances,
             "Masks number objects: object F1, Dice and Hausdorff, as the GlaS challenge scores glands")
          ->excludes(binary);
      app.add_flag("--components", flags->components,
             "The prediction holds classes, whose connected components are its objects")
          ->needs("--instances");
      add_object_options(app, flags->objects, "--components");
      return [flags] { return run(*flags); };
    }}};

}  // namespace

}  // namespace patchcl
