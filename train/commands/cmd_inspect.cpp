// patchcl inspect: where PatchCL would take its patches from in one image, drawn from a checkpoint's
// predictions.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>

#include "autograd/ops/softmax.h"
#include "data/formats/readers.h"
#include "data/picture.h"
#include "data/resize.h"
#include "tensor/file.h"
#include "train/commands/command.h"
#include "train/methods/patch_page.h"
#include "train/methods/patch_sheet.h"
#include "train/setup/model_file.h"

namespace patchcl {
namespace {

struct InspectOptions {
  std::string weights, image, out = "patches.svg", page;
  int64_t slice = -1;
  uint64_t seed = 1337;
  PatchOptions patches;
  int64_t patches_per_class = 8;
};

// The rows or columns of the middle, continued by reflection where there are fewer than `size`.
std::vector<int64_t> middle(int64_t length, int64_t size) {
  const int64_t begin = std::max<int64_t>((length - size) / 2, 0);
  return continued(range(begin, std::min(begin + size, length)), size);
}

// One slice as the network sees it, (1,size,size,C): of one that is cut at its own scale the middle.
Tensor read_slice(const InspectOptions& o, const ModelInfo& info) {
  const int64_t size = info.size, channels = info.unet.in_channels;
  const Volume v = read_volume(o.image);
  const int64_t slice = o.slice < 0 ? v.depth / 2 : o.slice;
  if (slice >= v.depth)
    fail(ExitCode::usage, "inspect", "--slice ", slice, " of ", o.image, ", which has ", v.depth, " slices");
  if (v.channels != channels)
    fail(ExitCode::data, "inspect", o.image, " has ", v.channels, " channels, the network wants ", channels);
  const Tensor x = Arena("image").empty({1, size, size, channels}, DType::f32);
  const float* const pixels = v.image.data() + slice * v.slice_pixels() * channels;
  if (info.fit == Fit::crop) {
    float* to = x.data<float>();
    for (const int64_t row : middle(v.height, size))
      for (const int64_t column : middle(v.width, size))
        to = std::copy_n(pixels + (row * v.width + column) * channels, channels, to);
    return x;
  }
  const auto zoom = info.fit == Fit::bilinear ? zoom_bilinear<float> : zoom_nearest<float>;
  zoom(pixels, v.height, v.width, channels, x.data<float>(), size, size);
  return x;
}

int inspect(const InspectOptions& o) {
  is_svg(o.out);
  for (const std::string& path : {o.out, o.page})
    if (!path.empty()) make_folder_of(path);
  const Arena memory("inspect");
  const std::unique_ptr<Model> model = load_model(o.weights, memory);
  const int64_t classes = model->info.unet.classes;
  const Tensor x = read_slice(o, model->info);
  Tape tape(memory, {.grad = false});
  Pass pass(tape, model->weights, /*training=*/false);
  const Var p = softmax(model->unet.forward(pass, tape.constant(x, "image")).logits);
  const int64_t size = model->info.size;
  const PatchImages batch{1, size, size, x.shape()[3], classes, x.data<float>(), p.value().data<float>()};
  PatchOptions options = o.patches;
  options.resolve(size, model->unet.size_multiple());
  AreaFilter filter(AreaFilterMode::off, classes);
  Rng rng(o.seed);
  const SampledPatches drawn = sample_patches(batch, o.patches_per_class * classes, options, filter, rng);
  patch_sheet(batch, {0}, drawn, options, model->info.class_names, o.image).save(o.out);
  for (int64_t k = 0; k < classes; ++k) {
    const auto of_class = [k](const Patch& patch) { return patch.label == k; };
    const int64_t n = std::count_if(drawn.positive.begin(), drawn.positive.end(), of_class);
    double entropy = 0, confidence = 0;
    for (const Patch& patch : drawn.positive)
      if (of_class(patch)) {
        entropy += double(patch.entropy) / double(n);
        confidence += double(patch.confidence) / double(n);
      }
    std::printf("class %ld: %ld patches of side %ld, mean entropy %.3f, mean confidence %.3f\n", long(k),
        long(n), long(options.side), entropy, confidence);
  }
  std::printf("wrote %s\n", o.out.c_str());
  if (o.page.empty()) return 0;
  write_patch_page(batch, options, drawn.positive, model->info.class_names, o.image, o.page);
  std::printf("wrote %s\n", o.page.c_str());
  return 0;
}

AddCommand inspect_command{{50, "inspect", "Draw where PatchCL takes its patches from in one image",
    "Examples:\n"
    "  patchcl inspect --weights runs/last/best.safetensors --image patient001_frame01.nii.gz --out "
    "sheet.svg\n"
    "  patchcl inspect --weights runs/last --image patient001_frame01.nii.gz --html patches.html   to play "
    "with",
    [](CLI::App& app) {
      auto o = std::make_shared<InspectOptions>();
      app.add_option("--weights", o->weights,
             "Weights or a checkpoint (.safetensors), or a run folder (its best, else its last)")
          ->required();
      app.add_option("--image", o->image, "Image or volume: .h5, .nii, .nii.gz, .png, .jpg, .bmp")
          ->required();
      app.add_option("--slice", o->slice, "Slice of a volume; -1: the middle one")->capture_default_str();
      app.add_option("--out", o->out, "Picture to write: .svg or .png")->capture_default_str();
      app.add_option("--html", o->page,
          "Also write a page to play with: the windows' entropy, confidence and weight for any side and "
          "stride");
      app.add_option("--seed", o->seed, "Decides which windows are drawn")->capture_default_str();
      OptionList list;
      o->patches.declare(list);
      list.add("patches", o->patches_per_class, "Patches per class", at_least(1));
      list.declare_to(app);
      return [o] { return inspect(*o); };
    }}};

}  // namespace
}  // namespace patchcl
