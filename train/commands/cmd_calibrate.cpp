// patchcl calibrate: shows a network training images and notes what its convolutions see, for inference in
// int8 (autograd/ops/conv2d_int8.h).
#include <CLI/CLI.hpp>
#include <algorithm>

#include "data/stream/loader.h"
#include "tensor/file.h"
#include "tensor/parallel.h"
#include "tensor/text.h"
#include "train/commands/command.h"
#include "train/commands/data_flags.h"
#include "train/evaluate/progress.h"
#include "train/setup/config.h"
#include "train/setup/model_file.h"

namespace patchcl {

namespace {

struct CalibrateFlags {
  std::string weights, data, out;
  int64_t images = 64, batch = 8;
  uint64_t seed = 1337;
  int threads = 0;
  DatasetOptions dataset;
};

// The same network with room for the ranges.
std::unique_ptr<Model> with_ranges(const std::string& path, const Arena& arena) {
  const std::unique_ptr<Model> plain = load_model(path, arena);
  ModelInfo info = plain->info;
  if (info.unet.ranges)
    fail(ExitCode::usage, "calibrate", path, " has ranges already; take the weights that it was made of");
  info.unet.ranges = true;
  auto model = std::make_unique<Model>(info, arena);
  if (model->layout.buffers().size() == plain->layout.buffers().size())
    fail(ExitCode::usage, "calibrate", path,
        ": no convolution of this network can multiply bytes, which wants batch norm and widths in multiples "
        "of 16; use --math bf16");
  TensorFile file;
  put_weights(file, plain->weights, info.iteration);
  get_weights_partially(file, model->weights);
  return model;
}

int calibrate(const CalibrateFlags& flags) {
  use_threads(flags.threads);
  make_folder_of(flags.out);
  const Arena arena("calibration");
  const std::unique_ptr<Model> model = with_ranges(flags.weights, arena);
  const ModelInfo& info = model->info;
  DatasetOptions options = flags.dataset;
  options.classes = info.classes_without_border();
  const Dataset data = Dataset::open(flags.data, options);
  if (data.channels() != info.unet.in_channels)
    fail(ExitCode::data, "calibrate", flags.data, " has ", data.channels(),
        " channel(s), the network was trained with ", info.unet.in_channels,
        "; give the data set that it was trained on");
  const int64_t labeled = data.labeled_items(), images = std::min(flags.images, data.items()),
                batches = chunks(images, flags.batch);
  Loader loader(data, Sampler(flags.seed, labeled, data.items() - labeled, 0, flags.batch),
      {.seed = flags.seed, .augment = {Augmentation::none, info.size, info.fit}});
  ProgressLine line(batches, {.item = "batch"});
  for (int64_t i = 0; i < batches; ++i) {
    Tape tape(arena, {.grad = false, .check_finite = true});
    Pass pass(tape, model->weights, /*training=*/false);
    pass.note_ranges();
    const int64_t count = std::min(flags.batch, images - i * flags.batch);
    model->unet.forward(pass, tape.constant(loader.next().images().rows(0, count), "images"));
    line.update(i + 1);
  }
  TensorFile file;
  put_model_info(file, info);
  put_weights(file, model->weights, info.iteration);
  save_tensors(flags.out, file);
  line.say(flags.out + ": ranges from " + counted(images, "training image") +
           "; now: patchcl predict --math int8 --weights " + in_shell(flags.out));
  return int(ExitCode::ok);
}

const AddCommand add{{23, "calibrate", "Prepare weights for inference in int8 with training images",
    "Examples:\n"
    "  patchcl calibrate --weights runs/acdc/best.safetensors --data acdc --out int8.safetensors\n"
    "  patchcl predict --math int8 --weights int8.safetensors images masks\n",
    [](CLI::App& app) -> std::function<int()> {
      auto flags = std::make_shared<CalibrateFlags>();
      app.add_option("--weights", flags->weights, "Weights, or a run folder (its best)")->required();
      app.add_option("--data", flags->data, "Folder of the data set that it was trained on, or phantom[:...]")
          ->required();
      app.add_option("--out", flags->out, "The same weights with the ranges, a safetensors file")->required();
      app.add_option("--images", flags->images, "Training images to look at")
          ->capture_default_str()
          ->check(CLI::PositiveNumber);
      app.add_option("--batch", flags->batch, "Images in one forward pass")
          ->capture_default_str()
          ->check(CLI::Range(int64_t(1), int64_t(kBatches.most)));
      app.add_option("--seed", flags->seed, "Which images")->capture_default_str();
      OptionList list;
      declare_threads(list, flags->threads);
      list.declare_to(app);
      add_held_out_options(app, flags->dataset);
      return [flags, &app] {
        take_split_of_run(app, {flags->weights}, flags->data, flags->dataset);
        return calibrate(*flags);
      };
    }}};

}  // namespace

}  // namespace patchcl
