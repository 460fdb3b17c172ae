#include "train/methods/uncertainty_sheet.h"

#include <algorithm>

#include "train/evaluate/uncertainty_panels.h"

namespace patchcl {

namespace {

Canvas plain(const Tensor& images, int64_t n) {
  const Shape& s = images.shape();
  Canvas canvas(s[2], s[1]);
  canvas.image(0, 0, images.data<float>() + n * s[1] * s[2] * s[3], s[1], s[2], s[3]);
  return canvas;
}

}  // namespace

std::vector<NamedPicture> uncertainty_sheet(const TrainState& s, const Batch& b) {
  if (s.model->config().gates == Gates::none) return {};
  const int64_t shown = std::min<int64_t>(b.size(), 4);
  Tape tape(*s.arena, {.grad = false, .keep = true});
  const Var images = tape.constant(b.images().rows(0, shown), "images");
  Pass pass(tape, *s.student, /*training=*/false);
  s.model->forward(pass, images);
  const Tensor seen = on_host(images.value());
  const std::vector<Tensor> maps = uncertainty_maps(tape);
  const std::vector<std::string> names = s.model->gate_names();
  std::vector<Canvas> all;
  std::vector<std::string> captions;
  for (int64_t n = 0; n < shown; ++n) {
    all.push_back(plain(seen, n));
    captions.push_back("image");
    for (size_t i = 0; i < names.size(); ++i) {
      const Shape& at = maps[i].shape();
      all.push_back(heat_map(maps[i].data<float>() + n * at[1] * at[2], at[1], at[2], seen.shape()[2]));
      captions.push_back(names[i]);
    }
    all.push_back(uncertainty_scale(seen.shape()[2], seen.shape()[1]));
    captions.push_back("");
  }
  const std::string when = "uncertainty by level, step " + std::to_string(s.iteration);
  return {{"uncertainty", sheet(all, captions, int64_t(names.size()) + 2, when)}};
}

}  // namespace patchcl
