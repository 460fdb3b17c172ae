// What `patchcl data convert` wrote; see data/layouts/convert.h.
#include "data/layouts/layout_converted.h"

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "data/formats/coding.h"
#include "data/formats/image.h"
#include "data/layouts/layout.h"
#include "tensor/error.h"

namespace fs = std::filesystem;

namespace patchcl {

namespace {

using nlohmann::json;

// Sizes, spacing and range of a case, without values.
Grid header_of(const json& c) {
  Grid g;
  g.depth = c.at("depth").get<int64_t>();
  g.height = c.at("height").get<int64_t>();
  g.width = c.at("width").get<int64_t>();
  g.spacing = c.at("spacing").get<std::array<double, 3>>();
  g.low = c.at("low").get<double>();
  g.high = c.at("high").get<double>();
  if (g.depth < 1 || g.height < 1 || g.width < 1)
    fail(ExitCode::data, "data", "a case of ", g.size_text(), " makes no sense");
  return g;
}

Grid read_slices(const Grid& header, const std::string& folder, const std::string& id) {
  Grid all = header;
  for (int64_t z = 0; z < header.depth; ++z) {
    const std::string path = folder + "/" + slice_file(id, z, header.depth);
    const Grid g = read_image(path);
    if (g.height != header.height || g.width != header.width)
      fail(ExitCode::data, "data", path, " is ", g.size_text(), ", patchcl.json says ", header.height, "x",
          header.width);
    all.channels = g.channels;
    all.values.insert(all.values.end(), g.values.begin(), g.values.end());
  }
  return all;
}

Source source_of(const std::string& dir, const json& c) {
  Source s;
  s.id = c.at("id").get<std::string>();
  s.group = c.at("patient").get<std::string>();
  const Grid header = header_of(c);
  const Coding coding = coding_from_json(c.at("coding"));
  s.depth = header.depth;
  s.height = header.height;
  s.width = header.width;
  s.path = dir + "/images/" + slice_file(s.id, 0, s.depth);
  s.label_path = dir + "/labels/" + slice_file(s.id, 0, s.depth);
  for (const std::string& path : {s.path, s.label_path})
    if (!fs::exists(path))
      fail(ExitCode::data, "data", "patchcl.json stands for ", path, ", which is not there");
  s.image = [=, id = s.id] {
    Grid g = read_slices(header, dir + "/images", id);
    decode(coding, g.values, dir + "/images/" + id);
    return g;
  };
  s.label = [=, id = s.id] { return read_slices(header, dir + "/labels", id); };
  return s;
}

}  // namespace

std::string slice_file(const std::string& id, int64_t slice, int64_t depth) {
  if (depth == 1) return id + ".png";
  char number[32];
  std::snprintf(number, sizeof number, "_z%03lld.png", static_cast<long long>(slice));
  return id + number;
}

Layout converted_layout(const std::string& dir) {
  const std::string path = dir + "/patchcl.json";
  std::ifstream in(path);
  Layout layout;
  try {
    const json j = json::parse(in);
    if (j.at("format") != kConvertedFormat)
      fail(ExitCode::data, "data", path, " is of format ", j.at("format").dump(), ", this program reads \"",
          kConvertedFormat, "\"");
    layout.name = "converted " + j.at("origin").get<std::string>();
    layout.volumes = j.at("volumes").get<bool>();
    layout.class_names = j.at("class_names").get<std::vector<std::string>>();
    for (const json& c : j.at("cases"))
      (c.at("split") == "train" ? layout.train : layout.validation).push_back(source_of(dir, c));
  } catch (const json::exception& e) {
    fail(ExitCode::data, "data", path, " is broken: ", e.what());
  }
  return layout;
}

}  // namespace patchcl
