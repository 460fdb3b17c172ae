#include "train/evaluate/report.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "data/class_names.h"
#include "tensor/file.h"
#include "tensor/text.h"
#include "train/evaluate/table.h"

namespace patchcl {

using nlohmann::ordered_json;

nlohmann::ordered_json scores_json(const Scores& s) {
  const auto number = [](double v) { return std::isfinite(v) ? ordered_json(v) : ordered_json(); };
  return {{"dice", number(s.dice)}, {"jaccard", number(s.jaccard)}, {"hd95", number(s.hd95)},
      {"asd", number(s.asd)}};
}

std::string one_line(const Summary& s, const std::vector<std::string>& names) {
  std::string line = std::string("dice ").append(fixed(s.mean.dice, 4)).append(" ");
  for (size_t i = 0; i < s.classes.size(); ++i)
    line.append(" ")
        .append(class_name(names, int64_t(i) + 1))
        .append(" ")
        .append(fixed(s.classes[i].dice, 3));
  return line;
}

std::string to_table(const Summary& s, const std::vector<std::string>& names) {
  std::vector<TableRow> rows;
  const auto add = [&](const std::string& name, const Scores& v) {
    rows.push_back({name, fixed(v.dice, 4), fixed(v.jaccard, 4), fixed(v.hd95, 2), fixed(v.asd, 2)});
  };
  for (size_t i = 0; i < s.classes.size(); ++i) add(class_name(names, int64_t(i) + 1), s.classes[i]);
  add("mean", s.mean);
  return markdown_table({"class", "Dice", "Jaccard", "HD95", "ASD"}, rows) + "\n" +
         counted(int64_t(s.cases.size()), "case") + "; " + describe(MetricOptions::ssl4mis()) + "\n";
}

std::string to_json(const Summary& s, const std::vector<std::string>& names) {
  ordered_json j;
  j["mean"] = scores_json(s.mean);
  j["cases"] = s.cases.size();
  j["conventions"] = describe(MetricOptions::ssl4mis());
  for (size_t i = 0; i < s.classes.size(); ++i)
    j["classes"][class_name(names, int64_t(i) + 1)] = scores_json(s.classes[i]);
  return j.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::vector<std::string> dice_legend(const std::vector<std::string>& foreground, const CaseScores& scores) {
  std::vector<std::string> legend;
  for (size_t k = 0; k < scores.classes.size(); ++k)
    legend.push_back(foreground[k] + " Dice " + fixed(scores.classes[k].dice, 3));
  return legend;
}

Canvas overlay(
    const Volume& v, const std::vector<uint8_t>& prediction, const std::vector<std::string>& legend) {
  const int64_t h = v.height, w = v.width, zoom = std::max<int64_t>(1, 256 / std::max(h, w)),
                slice = pictured_slice(v);
  const float* image = v.image.data() + slice * h * w * v.channels;
  const auto panel = [&](const uint8_t* label) {
    Canvas c(w * zoom, h * zoom);
    c.image(0, 0, image, h, w, v.channels, zoom);
    if (label) c.overlay(0, 0, label + slice * h * w, h, w, zoom);
    return c;
  };
  std::vector<Canvas> panels{panel(nullptr)};
  std::vector<std::string> captions{"image"};
  if (!v.label.empty()) {
    panels.push_back(panel(v.label.data()));
    captions.push_back("reference");
  }
  panels.push_back(panel(prediction.data()));
  captions.push_back("prediction");
  const std::string of_slice = v.depth > 1 ? " slice " + std::to_string(slice) : "";
  const Canvas pictures = sheet(panels, captions, int64_t(panels.size()), v.id + of_slice);
  Canvas page(pictures.width(), pictures.height() + 12 * int64_t(legend.size()), kSheet);
  page.paste(0, 0, pictures);
  for (size_t i = 0; i < legend.size(); ++i) {
    const int64_t y = pictures.height() + 12 * int64_t(i);
    page.fill(4, y, 8, 8, class_color(int64_t(i) + 1));
    page.text(16, y, legend[i]);
  }
  return page;
}

void save_overlay(const std::string& path, const Canvas& overlay) {
  make_folders(std::filesystem::absolute(path).parent_path());
  overlay.save(path);
}

}  // namespace patchcl
