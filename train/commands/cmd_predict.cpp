// patchcl predict: images or volumes in, masks out.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <functional>

#include "data/formats/image.h"
#include "data/formats/readers.h"
#include "data/layouts/input_images.h"
#include "data/layouts/source_files.h"
#include "tensor/file.h"
#include "tensor/text.h"
#include "train/commands/class_names.h"
#include "train/commands/command.h"
#include "train/commands/data_flags.h"
#include "train/commands/inference_flags.h"
#include "train/commands/output_files.h"
#include "train/commands/score_output.h"
#include "train/evaluate/report.h"
#include "train/evaluate/progress.h"
#include "train/evaluate/uncertainty_panels.h"

namespace patchcl {

namespace {

namespace fs = std::filesystem;

struct PredictFlags {
  InferenceFlags inference;
  std::string input, output;
  bool probabilities = false, instances = false;
  ObjectOptions objects;
  DatasetOptions dataset;
};

// An image on its way: how it is read, and the files that will be written of it.
struct PredictCase {
  std::string id, image;  // the name of its overlay; the file, for messages
  int64_t depth = 1;      // as far as a header tells: of an .h5 always 1
  std::function<Volume()> read = {};
  std::string mask = {}, probabilities = {}, overlay = {};  // the last two where somebody asked for them
};

// Of pictures: PNG holds no stack of them.
std::string mask_ending(int64_t depth) { return depth == 1 ? ".png" : ".nii.gz"; }

// The mask's name in an output folder: that of the image, as nnU-Net has it without the number of the only
// channel.
std::string mask_name(const InputImage& image, int64_t depth) {
  const fs::path path = image.files.front();
  const std::string file = path.filename(), extension = file.substr(stem_of(file).size());
  std::string name = image.name;
  if (name.ends_with("_0000")) {
    name.resize(name.size() - 5);
    if (fs::exists(path.parent_path() / (name + "_0001" + extension)))
      name = image.name;  // a series of numbers
  }
  return name + (format_of(path.string()) == Format::image ? mask_ending(depth) : extension);
}

// "ID.nii.gz": what fits the image.
std::string mask_name(const Source& s) {
  const Format format = is_readable(s.path) ? format_of(s.path) : Format::nifti;
  const std::string name = file_name_of(s.id);
  if (format == Format::h5) return name + ".h5";
  return name + (format == Format::image ? mask_ending(s.depth) : ".nii.gz");
}

// The images of a folder, or a single one.
std::vector<PredictCase> cases_of_files(const PredictFlags& flags, const std::vector<InputImage>& images) {
  const bool into_folder =
      fs::is_directory(flags.input) || fs::is_directory(flags.output) || flags.output.ends_with('/');
  if (into_folder) make_folders(flags.output);
  else make_folder_of(flags.output);
  std::vector<PredictCase> cases;
  for (const InputImage& image : images) {
    Source header;
    header.path = image.files.front();
    if (format_of(header.path) != Format::h5) set_sizes(header);
    PredictCase c{.id = image.name, .image = header.path, .depth = header.depth};
    c.read = [image] { return image.read(); };
    c.mask = into_folder ? fs::path(flags.output) / mask_name(image, c.depth) : fs::path(flags.output);
    cases.push_back(std::move(c));
  }
  return cases;
}

// Those of one split of a data set, with or without labels.
std::vector<PredictCase> cases_of_split(const PredictFlags& flags, const Layout& layout) {
  make_folders(flags.output);
  std::vector<PredictCase> cases;
  for (const Source& s : layout.of(flags.dataset.split)) {
    PredictCase c{.id = s.id, .image = s.path, .depth = s.depth};
    c.read = [s] { return to_volume(s.id, s.path, s.image(), nullptr, ""); };
    c.mask = fs::path(flags.output) / mask_name(s);
    cases.push_back(std::move(c));
  }
  return cases;
}

void demand_single_image(const std::string& path, int64_t depth) {
  if (depth != 1 || format_of(path) != Format::image)
    fail(ExitCode::usage, "predict", path, ": numbered objects are written for single images, as .png");
}

// Names what else is written of each case. Error(usage) for a mask whose format cannot hold it, and for what
// `files` refuses.
void name_outputs(const PredictFlags& flags, OutputFiles files, std::vector<PredictCase>& cases) {
  for (PredictCase& c : cases) {
    demand_mask_name(c.mask, c.depth);
    if (flags.instances) demand_single_image(c.mask, c.depth);
    files.add(c.mask, "the mask of " + c.image);
    if (flags.probabilities) {
      c.probabilities = fs::path(c.mask).parent_path() / (stem_of(c.mask) + ".probabilities.safetensors");
      files.add(c.probabilities, "the probabilities of " + c.image);
    }
    if (!flags.inference.overlays.empty()) {
      c.overlay = flags.inference.overlay_of(c.id);
      files.add(c.overlay, "the overlay of " + c.image);
    }
  }
  for (const PredictCase& c : cases)
    for (const std::string& path : {c.mask, c.probabilities, c.overlay})
      if (!path.empty()) make_folder_of(path);
}

// f32 (D,H,W,K).
void save_probabilities(const std::string& path, const Tensor& probabilities) {
  TensorFile file;
  file.tensors["probabilities"] = probabilities;
  save_tensors(path, file);
}

// The number of each pixel's object as a PNG of 8 bits, of 16 where there are more than 255.
void write_objects(
    const std::string& path, const Segmentation& s, const Volume& v, const ObjectOptions& options) {
  demand_single_image(path, v.depth);
  const std::vector<int32_t> numbers = number_objects(s.of_network.data(), v.height, v.width, options);
  const int32_t most = *std::max_element(numbers.begin(), numbers.end());
  if (most > 65535) fail(ExitCode::data, "predict", path, ": ", most, " objects do not fit into 16 bits");
  const std::vector<uint8_t> small(numbers.begin(), numbers.end());
  const std::vector<uint16_t> large(numbers.begin(), numbers.end());
  if (most < 256) write_png(path, small.data(), v.height, v.width, 1);
  else write_png(path, large.data(), v.height, v.width, 1);
}

void write_mask(const PredictFlags& flags, const std::string& path, const Segmentation& s, const Volume& v,
    const ModelInfo& info) {
  if (flags.instances) write_objects(path, s, v, flags.inference.objects(info, flags.objects));
  else write_label(path, s.classes, v);
}

// A line for each mask, with the time that the others will take.
class WrittenMasks {
 public:
  explicit WrittenMasks(size_t all) : all_(all), time_(all) {}
  void say(const std::string& image, const std::string& mask) {
    time_.finish();
    std::printf("%zu/%zu %s -> %s, %s left\n", ++done_, all_, printable(image).c_str(),
        printable(mask).c_str(), time_.left().c_str());
    std::fflush(stdout);
  }

 private:
  size_t all_, done_ = 0;
  TimeLeft time_;
};

// The networks, and the way of one volume through them into the files that the user asked for.
class MaskWriter {
 public:
  explicit MaskWriter(const PredictFlags& flags)
      : flags_(flags), arena_("prediction"), models_(flags.inference.load(arena_)),
        networks_(ensemble_of(models_)), options_(flags.inference.resolve(models_)) {}

  int64_t channels() const { return info().unet.in_channels; }
  void write(const PredictCase& c) const {
    const Volume v = c.read();
    const Arena memory("probabilities");
    Tensor all;
    SeeSlice see;
    if (!c.probabilities.empty()) {
      all = memory.empty({v.depth, v.height, v.width, info().unet.classes}, DType::f32);
      see = [&](int64_t z, const std::vector<double>& p) {
        std::copy(p.begin(), p.end(), all.data<float>() + z * int64_t(p.size()));
      };
    }
    const Segmentation s = segment(networks_, v, options_, arena_, see);
    write_mask(flags_, c.mask, s, v, info());
    if (!c.probabilities.empty()) save_probabilities(c.probabilities, all);
    if (c.overlay.empty()) return;
    const Canvas picture = overlay(v, s.classes, foreground_names(info()));
    save_overlay(c.overlay, with_uncertainty(picture, networks_.front(), v, options_, arena_));
  }

 private:
  const ModelInfo& info() const { return models_.front()->info; }

  const PredictFlags& flags_;
  Arena arena_;
  std::vector<std::unique_ptr<Model>> models_;
  Ensemble networks_;
  InferenceOptions options_;
};

int predict(
    const PredictFlags& flags, const MaskWriter& writer, OutputFiles files, std::vector<PredictCase> cases) {
  name_outputs(flags, std::move(files), cases);
  WrittenMasks written(cases.size());
  for (const PredictCase& c : cases) {
    writer.write(c);
    written.say(c.image, c.mask);
  }
  return int(ExitCode::ok);
}

int predict_files(const PredictFlags& flags) {
  const MaskWriter writer(flags);
  const auto [images, masks] = find_input_images(flags.input, writer.channels());
  if (!masks.empty())
    std::fprintf(stderr, "%s left out: by their names they are masks of images beside them (%s)\n",
        counted(int64_t(masks.size()), "file").c_str(), printable(masks.front()).c_str());
  OutputFiles files("predict");
  for (const InputImage& image : images)
    for (const std::string& path : image.files) files.keep(path, "the image");
  return predict(flags, writer, std::move(files), cases_of_files(flags, images));
}

int predict_split(const PredictFlags& flags) {
  Layout layout = open_layout(flags.input, flags.dataset.read);
  OutputFiles files("predict");
  files.keep_files_of(layout);
  divide(layout, flags.dataset);
  if (layout.of(flags.dataset.split).empty())
    fail_empty_split("predict", flags.input, flags.dataset, /*labeled_only=*/false);
  return predict(flags, MaskWriter(flags), std::move(files), cases_of_split(flags, layout));
}

const AddCommand add{{21, "predict", "Segment images or volumes",
    "Examples:\n"
    "  patchcl predict --weights best.safetensors scan.nii.gz mask.nii.gz     geometry copied from "
    "scan.nii.gz\n"
    "  patchcl predict --weights best.safetensors tiles/ masks/               every image of a folder\n"
    "  patchcl predict --weights best.safetensors ACDC masks/ --split test    the test cases of a data set\n"
    "A mask holds class numbers: 0 background, 1, 2 ... In a PNG these are nearly black.\n",
    [](CLI::App& app) -> std::function<int()> {
      auto flags = std::make_shared<PredictFlags>();
      flags->inference.add(app);
      app.add_option("input", flags->input, "Image, volume, or a folder of them")->required();
      app.add_option(
             "output", flags->output, "Mask: .png, .h5, .nii or .nii.gz; a folder when the input is one")
          ->required();
      app.add_flag("--probabilities", flags->probabilities,
          "Also write NAME.probabilities.safetensors, (slice, row, column, class), beside each mask");
      app.add_flag("--instances", flags->instances,
          "Masks number objects, 1, 2 ...: connected components, kept apart by a border class if one was "
          "learnt");
      add_object_options(app, flags->objects, "--instances");
      const auto any = [](const CLI::Option*) { return true; };
      const std::vector<CLI::Option*> others = app.get_options(any);
      add_split_options(app, flags->dataset);
      CLI::Option* const split = app.get_option("--split");
      for (CLI::Option* o : app.get_options(any))  // how cases are found says nothing of files that are named
        if (o != split && std::find(others.begin(), others.end(), o) == others.end()) o->needs(split);
      return [flags, split, &app] {
        if (split->count() == 0) return predict_files(*flags);
        take_split_of_run(app, flags->inference.weights, flags->input, flags->dataset);
        return predict_split(*flags);
      };
    }}};

}  // namespace

}  // namespace patchcl
