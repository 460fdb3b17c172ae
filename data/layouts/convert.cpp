#include "data/layouts/convert.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "data/formats/coding.h"
#include "data/formats/image.h"
#include "data/layouts/layout_converted.h"
#include "data/formats/readers.h"
#include "tensor/error.h"

namespace fs = std::filesystem;

namespace patchcl {

namespace {

using nlohmann::json;

void write_slices(const std::string& folder, const std::string& id, const Grid& g, const Coding& coding) {
  const std::vector<uint16_t> pixels = encode(coding, g.values);
  const int64_t slice = g.height * g.width * g.channels;
  for (int64_t z = 0; z < g.depth; ++z) {
    const std::string path = folder + "/" + slice_file(id, z, g.depth);
    const uint16_t* at = pixels.data() + z * slice;
    if (coding.bits() == 16) write_png(path, at, g.height, g.width, g.channels);
    else write_png(path, std::vector<uint8_t>(at, at + slice).data(), g.height, g.width, g.channels);
  }
}

// One index per class number, so that the file holds it as it is.
Coding label_coding() {
  Coding c;
  c.indices = 256;
  return c;
}

double largest_error(const Coding& coding, const Grid& g) {
  if (coding.exact) return 0;
  std::vector<double> back;
  for (const uint16_t p : encode(coding, g.values)) back.push_back(coding.value(p / coding.step()));
  double worst = 0;
  for (size_t i = 0; i < back.size(); ++i) worst = std::max(worst, std::abs(back[i] - g.values[i]));
  return worst / (g.high - g.low);
}

json convert_source(const Source& s, const std::string& to, const char* split, ConvertReport& report) {
  const Grid image = s.image(), label = s.label();
  const Volume v = to_volume(s.id, s.path, image, &label, s.label_path);
  const Coding coding = choose_coding(image.values, s.path);
  write_slices(to + "/images", s.id, image, coding);
  Grid classes = image;
  classes.channels = 1;
  classes.values.assign(v.label.begin(), v.label.end());
  write_slices(to + "/labels", s.id, classes, label_coding());
  ++report.cases;
  report.slices += image.depth;
  report.rounded_cases += !coding.exact;
  report.largest_error = std::max(report.largest_error, largest_error(coding, image));
  return {{"id", s.id}, {"patient", s.group}, {"split", split}, {"depth", image.depth},
      {"height", image.height}, {"width", image.width}, {"spacing", image.spacing}, {"low", image.low},
      {"high", image.high}, {"coding", to_json(coding)}};
}

void write_json(const std::string& path, const json& j) {
  std::ofstream out(path);
  out << j.dump(1) << '\n';
  if (!out.flush()) fail(ExitCode::io, "data", path, ": could not be written; is the disk full?");
}

void make_folder(const std::string& to) {
  std::error_code error;
  if (fs::exists(to) && !fs::is_empty(to, error))
    fail(ExitCode::io, "data", to, " is there already and not empty; choose another folder");
  for (const char* sub : {"/images", "/labels"}) {
    fs::create_directories(to + sub, error);
    if (error) fail(ExitCode::io, "data", "cannot create ", to, sub, ": ", error.message());
  }
}

}  // namespace

ConvertReport convert_data(
    const std::string& from, const std::string& to, const std::function<void(int64_t, int64_t)>& progress) {
  const Layout layout = open_layout(from);
  make_folder(to);
  ConvertReport report;
  json cases = json::array();
  const int64_t all = int64_t(layout.train.size() + layout.validation.size());
  for (const auto& [split, sources] :
      {std::pair{"train", &layout.train}, std::pair{"validation", &layout.validation}})
    for (const Source& s : *sources) {
      cases.push_back(convert_source(s, to, split, report));
      if (progress) progress(report.cases, all);
    }
  // Last, so that a conversion that was cut short is no data set.
  write_json(to + "/patchcl.json",
      {{"format", kConvertedFormat}, {"origin", layout.name}, {"volumes", layout.volumes},
          {"class_names", layout.class_names}, {"cases", cases}});
  return report;
}

}  // namespace patchcl
