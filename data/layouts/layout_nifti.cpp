// MSD ("training" pairs in dataset.json) and nnU-Net v2 ("channel_names", imagesTr/NAME_0000.nii.gz): NIfTI
// volumes; splits_final.json, where it is, says what validates and in which order to train. Left out: several
// channels per case, ignore labels and region classes of nnU-Net; they are refused by name.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "data/layouts/layout.h"
#include "data/formats/nifti.h"
#include "data/formats/readers.h"
#include "tensor/error.h"

namespace fs = std::filesystem;

namespace patchcl {

namespace {

using nlohmann::json;

Source volume(const std::string& image, const std::string& label) {
  for (const std::string& path : {image, label})
    if (!fs::exists(path))
      fail(ExitCode::data, "data", "dataset.json stands for ", path, ", which is not there");
  Source s;
  s.id = stem_of(label);
  s.group = patient_of(s.id);
  s.path = image;
  s.label_path = label;
  const Grid header = read_nifti_header(image);
  s.depth = header.depth;
  s.height = header.height;
  s.width = header.width;
  s.image = [image] { return read_nifti(image); };
  s.label = [label] { return read_nifti(label); };
  return s;
}

// {"0": "background", "1": "Anterior"} (MSD) or {"background": 0, "Anterior": 1} (nnU-Net).
std::vector<std::string> class_names(const json& labels, bool nnunet) {
  std::vector<std::string> names(labels.size());
  for (const auto& [key, value] : labels.items()) {
    const int64_t k = nnunet ? value.get<int64_t>() : std::stoll(key);
    names.at(size_t(k)) = nnunet ? key : value.get<std::string>();
  }
  return names;
}

std::vector<Source> nnunet_sources(const std::string& dir, const std::string& ending) {
  std::vector<std::string> labels;
  for (const auto& entry : fs::directory_iterator(dir + "/labelsTr"))
    if (entry.path().string().ends_with(ending)) labels.push_back(entry.path().string());
  std::sort(labels.begin(), labels.end());
  std::vector<Source> sources;
  for (const std::string& label : labels)
    sources.push_back(volume(dir + "/imagesTr/" + stem_of(label) + "_0000" + ending, label));
  return sources;
}

// nnU-Net's own file of folds; the first one's cases, in its order.
void split(const std::string& path, Layout& layout) {
  std::ifstream in(path);
  const json fold = json::parse(in).at(0);
  const std::vector<Source> all = std::move(layout.train);
  const auto chosen = [&](const char* key) {
    std::vector<Source> sources;
    for (const std::string id : fold.at(key)) {
      const auto at = std::find_if(all.begin(), all.end(), [&](const Source& s) { return s.id == id; });
      if (at == all.end()) fail(ExitCode::data, "data", path, " names '", id, "', which is not in labelsTr");
      sources.push_back(*at);
    }
    return sources;
  };
  layout.train = chosen("train");
  layout.validation = chosen("val");
}

}  // namespace

Layout nifti_layout(const std::string& dir) {
  std::string path = dir + "/dataset.json";
  std::ifstream in(path);
  Layout layout;
  try {
    const json j = json::parse(in);
    const bool nnunet = j.contains("channel_names");
    const json& channels = nnunet ? j.at("channel_names") : j.at("modality");
    if (channels.size() != 1)
      fail(ExitCode::data, "data", path, " has ", channels.size(), " channels; one is supported");
    layout.name = nnunet ? "nnU-Net" : "MSD";
    layout.class_names = class_names(j.at("labels"), nnunet);
    if (nnunet) layout.train = nnunet_sources(dir, j.value("file_ending", ".nii.gz"));
    else
      for (const json& pair : j.at("training"))
        layout.train.push_back(
            volume((fs::path(dir) / pair.at("image").get<std::string>()).lexically_normal(),
                (fs::path(dir) / pair.at("label").get<std::string>()).lexically_normal()));
    path = dir + "/splits_final.json";
    if (nnunet && fs::exists(path)) split(path, layout);
  } catch (const json::exception& e) {
    fail(ExitCode::data, "data", path, " is broken: ", e.what());
  } catch (const std::logic_error&) {
    fail(ExitCode::data, "data", path, " has labels that are not numbered 0, 1, 2, ...");
  } catch (const fs::filesystem_error& e) {
    fail(ExitCode::data, "data", e.what());
  }
  return layout;
}

}  // namespace patchcl
