// patchcl predict: images or volumes in, masks out.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>

#include "data/formats/readers.h"
#include "tensor/file.h"
#include "train/commands/command.h"
#include "train/commands/inference_flags.h"

namespace patchcl {

namespace {

namespace fs = std::filesystem;

struct PredictFlags {
  InferenceFlags inference;
  std::string input, output;
};

bool readable(const fs::path& path) {
  try {
    format_of(path.string());
    return true;
  } catch (const Error&) {
    return false;
  }
}

// The input file itself, or the images and volumes of the input folder in the order of their names.
std::vector<fs::path> inputs(const std::string& where) {
  if (!fs::exists(where)) fail(ExitCode::data, "predict", "there is no ", where);
  if (!fs::is_directory(where)) return {where};
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(where))
    if (entry.is_regular_file() && readable(entry.path())) files.push_back(entry.path());
  if (files.empty())
    fail(ExitCode::data, "predict", where, " holds no .png, .jpg, .bmp, .h5, .nii or .nii.gz file");
  std::sort(files.begin(), files.end());
  return files;
}

// The mask's name in an output folder: that of the image, photographs become PNG.
fs::path mask_name(const fs::path& image) {
  fs::path name = image.filename();
  return format_of(image.string()) == Format::image ? name.replace_extension(".png") : name;
}

int predict(const PredictFlags& flags) {
  const Arena arena("prediction");
  const auto model = flags.inference.load(arena);
  const InferenceOptions options = flags.inference.resolve(model->info);
  const std::vector<fs::path> files = inputs(flags.input);
  const bool into_folder =
      fs::is_directory(flags.input) || fs::is_directory(flags.output) || flags.output.ends_with('/');
  if (into_folder) fs::create_directories(flags.output);
  const auto target_of = [&](const fs::path& file) {
    return into_folder ? fs::path(flags.output) / mask_name(file) : fs::path(flags.output);
  };
  std::map<fs::path, fs::path> image_of;
  for (const fs::path& file : files)
    if (const auto [other, fresh] = image_of.insert({target_of(file), file}); !fresh)
      fail(ExitCode::usage, "predict", other->second.string(), " and ", file.string(), " would both become ",
          other->first.string(), "; rename one, or put them into folders of their own");
  for (const fs::path& file : files) {
    const fs::path target = target_of(file);
    format_of(target.string());
    if (fs::exists(target) && fs::equivalent(file, target))
      fail(ExitCode::usage, "predict", "the mask ", target.string(),
          " would replace the image; choose another output");
    const Volume v = read_volume(file.string());
    write_label(target.string(), segment(model->unet, model->weights, v, options, arena), v);
    std::printf("%s\n", printable(file.string() + " -> " + target.string()).c_str());
  }
  return int(ExitCode::ok);
}

const AddCommand add{{21, "predict", "Segment images or volumes",
    "Examples:\n"
    "  patchcl predict --weights best.safetensors scan.nii.gz mask.nii.gz     geometry copied from "
    "scan.nii.gz\n"
    "  patchcl predict --weights best.safetensors tiles/ masks/               every image of a folder\n"
    "A mask holds class numbers: 0 background, 1, 2 ... In a PNG these are nearly black.\n",
    [](CLI::App& app) -> std::function<int()> {
      auto flags = std::make_shared<PredictFlags>();
      flags->inference.add(app);
      app.add_option("input", flags->input, "Image, volume, or a folder of them")->required();
      app.add_option(
             "output", flags->output, "Mask: .png, .h5, .nii or .nii.gz; a folder when the input is one")
          ->required();
      return [flags] { return predict(*flags); };
    }}};

}  // namespace

}  // namespace patchcl
