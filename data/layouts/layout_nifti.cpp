// MSD ("training" pairs in dataset.json) and nnU-Net v2 ("channel_names", imagesTr/NAME_0000.nii.gz, one file
// for each channel): NIfTI volumes, or what else "file_ending" says of pictures. A colour picture may hold
// the three channels in its one file, as nnU-Net reads it. Images of imagesTr without a label, and those of
// imagesTs where there is no labelsTs, are unlabelled; with labelsTs they are the test split. Ignore labels
// and region classes of nnU-Net are refused by name.
#include <algorithm>
#include <filesystem>
#include <set>

#include "data/formats/image.h"
#include "data/formats/readers.h"
#include "data/layouts/layout.h"
#include "data/layouts/source_files.h"
#include "tensor/error.h"
#include "tensor/file.h"
#include "tensor/json.h"
#include "tensor/text.h"

namespace fs = std::filesystem;

namespace patchcl {

namespace {

using nlohmann::json;

using Paths = std::vector<std::string>;

bool is_nifti(const std::string& path) { return format_of(path) == Format::nifti; }

// `label` may be empty.
Source case_of(const std::string& id, const Paths& images, const std::string& label) {
  for (const Paths& needed : {images, Paths{label}})
    for (const std::string& path : needed)
      if (!path.empty() && !fs::exists(path))
        fail(ExitCode::data, "data", "dataset.json stands for ", path, ", which is not there");
  Source s;
  s.id = id;
  s.group = patient_of(s.id);
  s.path = images.at(0);
  s.more_paths.assign(images.begin() + 1, images.end());
  s.label_path = label;
  set_sizes(s);
  s.image = [images] { return read_channels(images); };
  if (!label.empty()) s.label = [label] { return read_mask(label); };
  return s;
}

// {"0": "background", "1": "Anterior"} (MSD) or {"background": 0, "Anterior": 1} (nnU-Net).
std::vector<std::string> class_names(const json& labels, bool nnunet, const std::string& path) {
  std::vector<std::string> names(labels.size());
  for (const auto& [key, value] : labels.items()) {
    if (nnunet && key == "ignore")
      fail(ExitCode::data, "data", path,
          " has nnU-Net's label 'ignore', pixels that nobody labelled; every pixel has a class here: give "
          "them one, or leave their images without a label file");
    if (value.is_array())
      fail(ExitCode::data, "data", path, " has the region '", key, "' of the labels ", value.dump(),
          "; classes exclude each other here: list the labels themselves, each with its number");
  }
  for (const auto& [key, value] : labels.items()) {
    const int64_t k = nnunet ? value.get<int64_t>() : std::stoll(key);
    names.at(size_t(k)) = nnunet ? key : value.get<std::string>();
  }
  return names;
}

// Files of a folder with that ending, in the order of their names; none where there is no folder.
Paths files_in(const std::string& dir, const std::string& ending) {
  Paths files;
  if (fs::is_directory(dir))
    for (const auto& entry : fs::directory_iterator(dir))
      if (is_wanted_file(entry, [&](const std::string& path) { return path.ends_with(ending); }))
        files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

class CaseFolder {
 public:
  // channels: files of a case; 0: one file that is called as its label.
  CaseFolder(const std::string& dir, const std::string& ending, size_t channels)
      : dir_(dir), ending_(ending), channels_(channels) {}

  // Labelled cases first, then images whose label is missing.
  std::vector<Source> sources(const std::string& suffix) const {
    std::vector<Source> all;
    std::set<std::string> labeled;
    for (const std::string& label : files_in(dir_ + "/labels" + suffix, ending_)) {
      const std::string id = stem_of(label);
      labeled.insert(id);
      all.push_back(case_of(id, images("images" + suffix, id), label));
    }
    for (const Source& s : unlabeled(suffix))
      if (!labeled.contains(s.id)) all.push_back(s);
    return all;
  }
  std::vector<Source> unlabeled(const std::string& suffix) const {
    const std::string ending = (channels_ ? "_0000" : "") + ending_;
    std::vector<Source> all;
    for (const std::string& image : files_in(dir_ + "/images" + suffix, ending)) {
      const std::string name = fs::path(image).filename(), id = name.substr(0, name.size() - ending.size());
      all.push_back(case_of(id, images("images" + suffix, id), ""));
    }
    return all;
  }

 private:
  Paths images(const std::string& folder, const std::string& id) const {
    Paths paths;
    for (size_t c = 0; c < channels_; ++c)
      paths.push_back(channel_file(dir_ + "/" + folder + "/" + id, int64_t(c), ending_));
    if (holds_all_channels(paths)) paths.resize(1);
    return channels_ ? paths : Paths{dir_ + "/" + folder + "/" + id + ending_};
  }
  // The first file is a picture of all colours, and the only one.
  bool holds_all_channels(const Paths& paths) const {
    return channels_ > 1 && fs::exists(paths[0]) && !fs::exists(paths[1]) && !is_nifti(paths[0]) &&
           size_t(image_info(paths[0]).channels) == channels_;
  }
  const std::string dir_, ending_;
  const size_t channels_;
};

// What "file_ending" of nnU-Net may be.
void demand_known(const std::string& ending, const std::string& path) {
  const std::string name = "x" + ending;
  if (is_readable(name) && format_of(name) != Format::h5) return;
  fail(ExitCode::data, "data", path, ": files that end in '", ending,
      "' are not read; known are .nii.gz .nii .png .bmp .tif .tiff; convert images and labels and mend "
      "file_ending");
}

// What would be trained without a word: a channel that nobody named is no channel.
void tell_unnamed_channel(
    const std::string& dir, size_t channels, const std::string& ending, Layout& layout) {
  for (const Source& s : layout.train) {
    const std::string file = channel_file(dir + "/imagesTr/" + s.id, int64_t(channels), ending);
    if (!fs::exists(file)) continue;
    const std::string what = file + " is left aside: channel_names of dataset.json has " +
                             counted(int64_t(channels), "channel") + ", name this one too";
    layout.notes.push_back(what);
    layout.problems.push_back(what);
    return;
  }
}

// imagesTs: the test split where it has labels, else further images to train on.
void add_ts(const CaseFolder& folder, const std::string& dir, Layout& layout) {
  if (fs::is_directory(dir + "/labelsTs")) {
    layout.test = folder.sources("Ts");
    return;
  }
  const std::vector<Source> more = folder.unlabeled("Ts");
  layout.train.insert(layout.train.end(), more.begin(), more.end());
  if (!more.empty())
    layout.notes.push_back(dir + "/imagesTs: " + counted(int64_t(more.size()), "image") +
                           " to train on without labels; a test split only beside labelsTs");
}

}  // namespace

Layout nifti_layout(const std::string& dir) {
  const std::string path = dir + "/dataset.json";
  std::string why;
  const json j = parse_json(read_text(path), &why);
  if (j.is_discarded()) fail(ExitCode::data, "data", path, " is broken: ", why);
  Layout layout;
  try {
    const bool nnunet = j.contains("channel_names");
    const json& channels = nnunet ? j.at("channel_names") : j.at("modality");
    layout.name = nnunet ? "nnU-Net" : "MSD";
    layout.class_names = class_names(j.at("labels"), nnunet, path);
    const std::string ending = nnunet ? j.value("file_ending", ".nii.gz") : ".nii.gz";
    demand_known(ending, path);
    const CaseFolder folder(dir, ending, nnunet ? channels.size() : 0);
    if (nnunet) {
      layout.train = folder.sources("Tr");
      tell_unnamed_channel(dir, channels.size(), ending, layout);
    } else {
      for (const json& pair : j.at("training")) {
        const auto path = [&](const char* key) {
          return (fs::path(dir) / pair.at(key).get<std::string>()).lexically_normal().string();
        };
        layout.train.push_back(case_of(stem_of(path("label")), {path("image")}, path("label")));
      }
    }
    add_ts(folder, dir, layout);
    layout.volumes = hold_volumes(layout.train);
    layout.notes.push_back(path + ": " + std::to_string(channels.size()) + " channel(s), " +
                           std::to_string(layout.class_names.size()) + " classes");
  } catch (const json::exception& e) {
    fail(ExitCode::data, "data", path, " is broken: ", e.what());
  } catch (const std::logic_error&) {
    fail(ExitCode::data, "data", path, " has labels that are not numbered 0, 1, 2, ...");
  }
  return layout;
}

}  // namespace patchcl
