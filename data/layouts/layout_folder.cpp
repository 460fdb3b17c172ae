// Folders of images (PNG, JPEG, BMP, TIFF, NIfTI) and masks, as people lay them out:
//
//   images/ masks/                  one split; train.list, val.list and test.list may cut it, or val/ and
//                                   test/ lie beside it
//   train/images/ train/masks/      and val/, test/ likewise; or train/x.png train/x_mask.png
//   images/train/ masks/train/      and val/, test/
//   x.png x_mask.png                side by side: _mask _label _seg _anno ...; x_image.png x_mask.png too
//   unlabeled/                      beside any of them: further images to train on
//
// Which mask is whose their names say (mask_names.h). Masks hold class numbers (of a palette: the indices).
#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "data/formats/readers.h"
#include "data/layouts/layout.h"
#include "data/layouts/mask_names.h"
#include "data/layouts/source_files.h"
#include "tensor/error.h"

namespace fs = std::filesystem;

namespace patchcl {

namespace {

using Words = std::vector<std::string>;
const Words kImages{"images", "image", "imgs", "img"},
    kMasks{"masks", "mask", "labels", "label", "annotations", "annotation", "segmentations", "gt"},
    kTrain{"train", "training"}, kValidation{"val", "valid", "validation"}, kTest{"test", "testing"},
    kUnlabeled{"unlabeled", "unlabelled"};

// The folder of one of these names; empty when there is none.
std::string folder_in(const std::string& dir, const Words& names) {
  for (const std::string& name : names)
    if (!dir.empty() && fs::is_directory(dir + "/" + name)) return dir + "/" + name;
  return "";
}

bool is_image(const std::string& path) {
  try {
    return format_of(path) != Format::h5;
  } catch (const Error& e) {
    if (is_dicom(path)) throw;
    return false;
  }
}

Files files_in(const std::string& dir) {
  Files files;
  for (const auto& entry : fs::directory_iterator(dir)) {
    if (!is_wanted_file(entry, is_image)) continue;
    const std::string path = entry.path();
    const auto [other, added] = files.emplace(stem_of(path), path);
    if (!added)
      fail(ExitCode::data, "data", path, " and ", other->second, " have one name; take one of them away");
  }
  return files;
}

// None where there is no folder.
Files masks_in(const std::string& dir) { return dir.empty() ? Files{} : files_in(dir); }

// The first three.
std::string some_of(const Files& files) {
  std::string text;
  size_t named = 0;
  for (const auto& [stem, path] : files)
    if (++named <= 3) text += (named > 1 ? ", " : "") + path;
  return files.size() > 3 ? text + " ..." : text;
}

Source source_of(const std::string& stem, const std::string& image, const std::string& mask) {
  Source s;
  s.id = stem;
  s.group = patient_of(stem);
  s.path = image;
  s.label_path = mask;
  set_sizes(s);
  s.image = [image] { return read_image_grid(image); };
  if (!mask.empty()) s.label = [mask] { return read_mask(mask); };
  return s;
}

class Reader {
 public:
  explicit Reader(Layout& layout) : layout_(layout) {}

  // Images with the masks of another folder; of the same where `masks` is it; without, where it is empty.
  std::vector<Source> pairs(const std::string& images, const std::string& masks) {
    Files image_files = files_in(images), lonely;
    const Files mask_files = masks == images ? masks_beside(image_files, lonely)
                                             : masks_apart(image_files, masks_in(masks), lonely);
    std::vector<Source> sources;
    for (const auto& [stem, path] : image_files) {
      const auto mask = mask_files.find(stem);
      sources.push_back(source_of(stem, path, mask == mask_files.end() ? "" : mask->second));
    }
    if (mask_files.empty() && masks != images && !lonely.empty())
      fail(ExitCode::data, "data", "no mask in ", masks, " (", names_in(masks),
          ") has the name of an image in ", images, " (", names_in(images),
          "); wants x.png and x.png, or x_mask.png", look_alike(image_files, lonely));
    std::string note = images + ": " + std::to_string(sources.size()) + " images";
    if (!masks.empty())
      note += ", " + std::to_string(mask_files.size()) + " masks " + place_of(images, masks);
    if (mask_files.empty()) lonely.clear();  // images whose names only look like those of masks
    if (!lonely.empty())
      note += ", " + std::to_string(lonely.size()) + " more without an image: " + some_of(lonely);
    layout_.notes.push_back(note);
    for (const auto& [stem, path] : lonely)
      layout_.problems.push_back(
          path + ": a mask, but no image in " + images +
          " has its name, and an image without a mask is unlabelled; rename one of them" +
          look_alike(image_files, {{stem, path}}));
    return sources;
  }

  // One split's own folder: images/ and masks/ within, or side by side.
  std::vector<Source> split(const std::string& dir) {
    if (dir.empty()) return {};
    const std::string images = folder_in(dir, kImages);
    return images.empty() ? pairs(dir, dir) : pairs(images, folder_in(dir, kMasks));
  }

 private:
  static std::string place_of(const std::string& images, const std::string& masks) {
    return images == masks ? "beside them" : "in " + masks;
  }
  Layout& layout_;
};

// The images that a list names.
std::vector<Source> listed(const std::vector<Source>& all, const std::string& list) {
  std::vector<Source> sources;
  for (const std::string& name : read_list(list)) {
    const auto at = std::find_if(all.begin(), all.end(), [&](const Source& s) { return s.id == name; });
    if (at == all.end()) fail(ExitCode::data, "data", list, " names '", name, "', which has no image");
    sources.push_back(*at);
  }
  return sources;
}

void cut_by_lists(const std::string& dir, std::vector<Source> all, Layout& layout) {
  const auto part = [&](const char* name) {
    const std::string list = dir + name;
    return fs::exists(list) ? listed(all, list) : std::vector<Source>{};
  };
  layout.validation = part("/val.list");
  layout.test = part("/test.list");
  if (fs::exists(dir + "/train.list")) {
    layout.train = listed(all, dir + "/train.list");
    return;
  }
  std::set<std::string> elsewhere;
  for (const std::vector<Source>* part : {&layout.validation, &layout.test})
    for (const Source& s : *part) elsewhere.insert(s.id);
  for (const Source& s : all)
    if (!elsewhere.contains(s.id)) layout.train.push_back(s);
}

using Part = std::pair<const char*, std::vector<Source>*>;  // "val_" and its sources

// Whether parts call different files alike.
bool have_names_in_common(const std::vector<Part>& parts) {
  std::map<std::string, std::string> paths;
  for (const auto& [prefix, sources] : parts)
    for (const Source& s : *sources)
      if (paths.emplace(s.id, s.path).first->second != s.path) return true;
  return false;
}

// The folder becomes part of a name; whom a mark in it names ("p7_slice_3") stays the patient that it is.
void add_prefix(const Part& part) {
  for (Source& s : *part.second) {
    if (s.group == s.id) s.group = part.first + s.group;
    s.id = part.first + s.id;
  }
}

// Folders whose numbers start anew name different images alike. Where val/ and test/ lie beside the images to
// train on, these keep their names.
void tell_apart(Layout& layout, std::vector<Source>& unlabeled, bool beside) {
  const Part train{"train_", &layout.train}, validation{"val_", &layout.validation},
      test{"test_", &layout.test}, more{"unlabeled_", &unlabeled};
  if (have_names_in_common({train, validation, test})) {
    if (!beside) add_prefix(train);
    for (const Part& part : {validation, test}) add_prefix(part);
    layout.notes.push_back("names repeat from split to split, so they are " +
                           std::string(beside ? "" : "train_NAME, ") + "val_NAME, test_NAME");
  }
  if (have_names_in_common({train, validation, test, more})) {
    add_prefix(more);
    layout.notes.push_back("unlabelled images have names of others, so they are unlabeled_NAME");
  }
}

// Images without masks are nothing to validate on; others are held out instead.
void drop_unlabeled_validation(Layout& layout) {
  std::vector<Source>& cases = layout.validation;
  if (cases.empty() || std::any_of(cases.begin(), cases.end(), [](const Source& s) { return s.labeled(); }))
    return;
  layout.problems.push_back("the " + std::to_string(cases.size()) + " images to validate on (" +
                            cases.front().path + ") have no masks; they are left aside");
  cases.clear();
}

// Where the images of the training split would lie; empty where no folder has the name.
std::string place_of_images(const std::string& dir) {
  const std::string images = folder_in(dir, kImages), train = folder_in(dir, kTrain);
  const std::string inner = images.empty() ? folder_in(train, kImages) : folder_in(images, kTrain);
  if (!inner.empty()) return inner;
  return images.empty() ? train : images;
}

[[noreturn]] void fail_without_images(const std::string& dir) {
  const std::string known = kPictureEndings, images = place_of_images(dir);
  if (!images.empty() && files_in(images).empty())
    fail(ExitCode::data, "data", images, ": no picture that can be read; it holds ", names_in(images),
        "; wants files that end in ", known, ", in this folder itself and not in folders of it");
  fail(ExitCode::data, "data", dir, ": no known layout; it holds ", names_in(dir),
      "; wants images/ with masks/, train/images/ with train/masks/, x.png beside x_mask.png, "
      "patientNNN/ (ACDC), train_slices.list with data/ (SSL4MIS) or dataset.json with imagesTr/ (MSD, "
      "nnU-Net); pictures end in ",
      known);
}

}  // namespace

Layout folder_layout(const std::string& dir) {
  Layout layout;
  layout.name = "images";
  layout.pictures = true;
  Reader reader(layout);
  const std::string images = folder_in(dir, kImages), masks = folder_in(dir, kMasks),
                    train = folder_in(dir, kTrain), validation = folder_in(dir, kValidation),
                    test = folder_in(dir, kTest);
  const auto nested = [&](const Words& names) {
    const std::string inner = folder_in(images, names);
    return inner.empty() ? std::vector<Source>{} : reader.pairs(inner, folder_in(masks, names));
  };
  bool beside = false;  // val/ and test/ beside the images to train on
  if (!folder_in(images, kTrain).empty()) {
    layout.train = nested(kTrain);
    layout.validation = nested(kValidation);
    layout.test = nested(kTest);
  } else if (!images.empty() || train.empty()) {
    cut_by_lists(dir, images.empty() ? reader.pairs(dir, dir) : reader.pairs(images, masks), layout);
    if (layout.validation.empty()) layout.validation = reader.split(validation);
    if (layout.test.empty()) layout.test = reader.split(test);
    beside = true;
    if (!train.empty())
      layout.problems.push_back(train + ": left aside, since " + images + " has the images to train on");
  } else {
    layout.train = reader.split(train);
    layout.validation = reader.split(validation);
    layout.test = reader.split(test);
  }
  drop_unlabeled_validation(layout);
  std::vector<Source> unlabeled = reader.split(folder_in(dir, kUnlabeled));
  for (Source& s : unlabeled) s.label = nullptr;
  tell_apart(layout, unlabeled, beside);
  layout.train.insert(layout.train.end(), unlabeled.begin(), unlabeled.end());
  if (layout.train.empty()) fail_without_images(dir);
  layout.volumes = hold_volumes(layout.train);
  return layout;
}

}  // namespace patchcl
