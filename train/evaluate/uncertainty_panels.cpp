#include "train/evaluate/uncertainty_panels.h"

#include <algorithm>
#include <numeric>

#include "train/evaluate/report.h"
#include "train/evaluate/table.h"

namespace patchcl {

namespace {

double mean_of(const std::vector<float>& values) {
  return std::accumulate(values.begin(), values.end(), 0.) / double(values.size());
}

}  // namespace

Canvas uncertainty_scale(int64_t width, int64_t height) {
  return heat_scale(width, height, "1 unsure", "0 sure");
}

Canvas heat_map(const float* values, int64_t h, int64_t w, int64_t width) {
  Canvas c(width, std::max<int64_t>(1, h * width / w));
  for (int64_t y = 0; y < c.height(); ++y)
    for (int64_t x = 0; x < width; ++x)
      c.set(x, y, heat_color(values[y * h / c.height() * w + x * w / width]));
  return c;
}

Canvas uncertainty_panels(const Predictor& network, const Volume& v, const InferenceOptions& options,
    const Arena& arena, int64_t width) {
  const std::vector<std::string> names = network.unet->gate_names();
  const std::vector<std::vector<float>> maps =
      gate_uncertainty(network, v, pictured_slice(v), options, arena);
  const int64_t levels = int64_t(network.unet->config().widths.size()),
                cell = std::max<int64_t>(16, (width - 6) / levels - 6);
  std::vector<Canvas> panels;
  std::vector<std::string> captions;
  const auto add = [&](size_t gate) {
    panels.push_back(heat_map(maps[gate].data(), v.height, v.width, cell));
    captions.push_back(names[gate] + ": " + fixed(mean_of(maps[gate]), 2));
  };
  const size_t decoder = size_t(levels - 1), encoder = names.size() - decoder;
  for (size_t i = 0; i < encoder; ++i) add(i);
  for (size_t i = names.size(); i-- > encoder;) add(i);  // from the finest, below the encoder's
  panels.push_back(uncertainty_scale(panels.front().width(), panels.front().height()));
  captions.push_back("");
  return sheet(panels, captions, levels, "uncertainty H by level, and its mean");
}

Canvas with_uncertainty(const Canvas& overlay, const Predictor& network, const Volume& v,
    const InferenceOptions& options, const Arena& arena) {
  if (network.unet->config().gates == Gates::none) return overlay;
  const Canvas panels = uncertainty_panels(network, v, options, arena, overlay.width());
  Canvas page(std::max(overlay.width(), panels.width()), overlay.height() + panels.height(), kSheet);
  page.paste(0, 0, overlay);
  page.paste(0, overlay.height(), panels);
  return page;
}

}  // namespace patchcl
