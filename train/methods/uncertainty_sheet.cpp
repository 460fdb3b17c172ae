#include "train/methods/uncertainty_sheet.h"

#include <algorithm>

#include "autograd/ops/entropy_gate.h"

namespace patchcl {

namespace {

// H of one gate on the n-th image, (h,w), as a picture of about that side.
Canvas heat_map(const Tensor& logits, int64_t n, int64_t side) {
  const Shape& s = logits.shape();
  const int64_t h = s[1], w = s[2], M = s[3], zoom = std::max<int64_t>(1, side / h);
  std::vector<float> share(static_cast<size_t>(h * w));
  for (int64_t i = 0; i < h * w; ++i)
    share[size_t(i)] = float(PixelEntropy(logits.data<float>() + (n * h * w + i) * M, M).share(M));
  Canvas canvas(w * zoom, h * zoom);
  canvas.heat(0, 0, share.data(), h, w, 0, 1, zoom);
  return canvas;
}

Canvas plain(const Tensor& images, int64_t n) {
  const Shape& s = images.shape();
  Canvas canvas(s[2], s[1]);
  canvas.image(0, 0, images.data<float>() + n * s[1] * s[2] * s[3], s[1], s[2], s[3]);
  return canvas;
}

// "encoder 0" .. "encoder 4", "decoder 3" .. "decoder 0": the levels of the gates in the order of a pass.
std::vector<std::string> gate_names(const UNetConfig& c) {
  std::vector<std::string> names;
  for (size_t level = 0; c.gates == Gates::all && level < c.widths.size(); ++level)
    names.push_back("encoder " + std::to_string(level));
  for (size_t level = c.widths.size() - 1; level-- > 0;) names.push_back("decoder " + std::to_string(level));
  return names;
}

}  // namespace

std::vector<NamedPicture> uncertainty_sheet(const TrainState& s, const Batch& b) {
  if (s.model->config().gates == Gates::none) return {};
  const int64_t shown = std::min<int64_t>(b.size(), 4);
  Tape tape(*s.arena, {.grad = false, .keep = true});
  const Var images = tape.constant(b.images().rows(0, shown), "images");
  Pass pass(tape, *s.student, /*training=*/false);
  const UNet::Output out = s.model->forward(pass, images);
  const Tensor seen = on_host(images.value());
  std::vector<std::vector<Canvas>> maps(static_cast<size_t>(shown));
  const std::vector<std::string> names = gate_names(s.model->config());
  for (const Tape::Node& node : tape.nodes()) {
    if (!node.op || std::string(node.op->name()) != "entropy_gate") continue;
    const Tensor logits = on_host(tape.nodes()[size_t(node.inputs[1])].value);
    for (int64_t n = 0; n < shown; ++n) maps[size_t(n)].push_back(heat_map(logits, n, seen.shape()[1]));
  }
  std::vector<Canvas> all;
  std::vector<std::string> captions;
  for (int64_t n = 0; n < shown; ++n) {
    all.push_back(plain(seen, n));
    captions.push_back("image");
    for (size_t i = 0; i < names.size(); ++i) {
      all.push_back(maps[size_t(n)][i]);
      captions.push_back(names[i]);
    }
  }
  const std::string when = "uncertainty by level, step " + std::to_string(s.iteration);
  return {{"uncertainty", sheet(all, captions, int64_t(names.size()) + 1, when)}};
}

}  // namespace patchcl
