#include "data/layouts/layout.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <regex>
#include <set>

#include "data/formats/readers.h"
#include "data/layouts/phantom.h"
#include "tensor/error.h"
#include "tensor/file.h"
#include "tensor/json.h"

namespace fs = std::filesystem;

namespace patchcl {

namespace {

Layout read_folder(const std::string& where) {
  if (!fs::exists(where)) fail(ExitCode::data, "data", where, ": no such folder");
  if (!fs::is_directory(where))
    fail(ExitCode::data, "data", where, ": is a file, wants the folder of a data set");
  if (fs::exists(where + "/dataset.json")) return nifti_layout(where);
  if (fs::exists(where + "/train_slices.list")) return ssl4mis_layout(where);
  if (is_acdc(where)) return acdc_layout(where);
  return folder_layout(where);
}

std::vector<Fold> read_folds(const std::string& path) {
  std::vector<Fold> folds;
  std::string why;
  const nlohmann::json list = parse_json(read_text(path), &why);
  if (list.is_discarded()) fail(ExitCode::data, "data", path, " is broken: ", why);
  try {
    for (const nlohmann::json& fold : list) folds.push_back({fold.at("train"), fold.at("val")});
  } catch (const nlohmann::json::exception& e) {
    fail(ExitCode::data, "data", path, " is broken: ", e.what());
  }
  return folds;
}

// Without a colour, too: red is 255,0,0 and no class 1.
bool black_and_white(const Grid& mask) {
  const size_t n = size_t(mask.channels);
  for (size_t i = 0; i < mask.values.size(); ++i) {
    const double first = mask.values[i - i % n];
    if ((first != 0 && first != 255) || mask.values[i] != first) return false;
  }
  return true;
}

// The folder names the stored numbers: where --label-values lists these, each class is called as its number.
void name_listed_classes(Layout& layout) {
  const std::vector<std::string> stored = layout.class_names;
  std::vector<std::string> names;
  for (const std::vector<double>& entry : layout.labels.entries) {
    const bool named = entry.size() == 1 && entry[0] >= 0 && entry[0] < double(stored.size()) &&
                       entry[0] == std::floor(entry[0]);
    if (!named) return;
    names.push_back(stored[size_t(entry[0])]);
  }
  if (!names.empty()) layout.class_names = names;
}

void regroup(Layout& layout, const std::string& expression) {
  std::regex regex;
  try {
    regex = expression;
  } catch (const std::regex_error& e) {
    fail(ExitCode::usage, "data", "--group '", expression, "' is no regular expression: ", e.what());
  }
  for (std::vector<Source>* sources : {&layout.train, &layout.validation, &layout.test})
    for (Source& s : *sources) {
      std::smatch match;
      if (!std::regex_search(s.id, match, regex))
        fail(ExitCode::usage, "data", "--group '", expression, "' does not match '", s.id,
            "'; it has to name the patient of every image");
      s.group = match.size() > 1 ? match[1].str() : match[0].str();
    }
  layout.notes.push_back("patients by --group " + expression);
}

// Numbers behind the names of a few, as "P00_000" to "P04_003": the few may be patients. A number has to
// stand in each of these names; "lung_001" and "heart_001" are cases of two kinds.
void note_shared_beginnings(Layout& layout) {
  std::set<std::string> beginnings;
  for (const Source& s : layout.train) {
    const size_t end = s.id.find_last_not_of("0123456789");
    const bool numbered =
        end != std::string::npos && end > 0 && end + 1 < s.id.size() && std::strchr("_-", s.id[end]);
    const std::string beginning = numbered ? s.id.substr(0, end) : "";
    if (s.group != s.id || beginning.find_first_of("0123456789") == std::string::npos) return;
    beginnings.insert(beginning);
  }
  if (beginnings.size() < 2 || 2 * beginnings.size() > layout.train.size()) return;
  layout.notes.push_back(std::to_string(layout.train.size()) + " names, each taken for a patient, have " +
                         std::to_string(beginnings.size()) + " beginnings (" + *beginnings.begin() + " ... " +
                         *beginnings.rbegin() +
                         "): where these are the patients, say --group '^(.*)[_-][0-9]+$'");
}

}  // namespace

bool is_generated(const std::string& where) { return where == "phantom" || where.starts_with("phantom:"); }

Layout open_layout(const std::string& where, const ReadOptions& options) {
  const bool generated = is_generated(where);
  Layout layout;
  try {
    layout = generated ? phantom_layout(parse_phantom(where)) : read_folder(where);
  } catch (const fs::filesystem_error& e) {
    fail(ExitCode::data, "data", e.path1().string(), " cannot be read: ", e.code().message());
  }
  if (const std::string splits = where + "/splits_final.json"; !generated && fs::exists(splits))
    layout.folds = read_folds(splits);
  layout.labels = parse_label_map(options.label_values, options.label_colors);
  name_listed_classes(layout);
  layout.instance_masks = options.instance_masks;
  if (options.instance_masks && !layout.labels.empty())
    fail(ExitCode::usage, "data",
        "--instance-masks says that masks number objects, --label-values and --label-colors that they hold "
        "classes; leave one out");
  if (options.instance_masks) {
    layout.class_names = {"background", "object"};
    layout.notes.push_back("masks number objects (--instance-masks): 0 background, any other number class 1");
  }
  if (options.group.empty()) note_shared_beginnings(layout);
  else regroup(layout, options.group);
  return layout;
}

Grid read_label(const Layout& layout, const Source& source) {
  return class_numbers(layout, source.label(), source.label_path);
}

std::vector<int32_t> object_numbers(const Grid& stored, const std::string& path) {
  if (stored.channels != 1)
    fail(ExitCode::data, "data", path, ": has ", stored.channels,
        " channels; a mask that numbers objects has one number per pixel");
  std::vector<int32_t> numbers;
  numbers.reserve(stored.values.size());
  for (const double v : stored.values) {
    if (!(v >= 0 && v <= std::numeric_limits<int32_t>::max() && v == std::floor(v)))
      fail(ExitCode::data, "data", path, ": ", v, " is no object's number; wants whole numbers from 0");
    numbers.push_back(int32_t(v));
  }
  return numbers;
}

Grid class_numbers(const Layout& layout, Grid label, const std::string& path) {
  if (layout.instance_masks) {
    const std::vector<int32_t> numbers = object_numbers(label, path);
    std::transform(numbers.begin(), numbers.end(), label.values.begin(), [](int32_t n) { return n != 0; });
    return label;
  }
  if (!layout.labels.empty()) return mapped(label, layout.labels, path);
  if (layout.pictures && black_and_white(label))
    for (double& v : label.values) v /= 255;
  return label;
}

std::vector<std::string> read_list(const std::string& path) {
  std::ifstream file(path);
  if (!file) fail(ExitCode::data, "data", path, ": no such list");
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) {
    if (lines.empty() && line.starts_with("\xEF\xBB\xBF")) line.erase(0, 3);  // the mark of a file in UTF-8
    const size_t begin = line.find_first_not_of(" \t\r"), end = line.find_last_not_of(" \t\r");
    if (begin != std::string::npos) lines.push_back(line.substr(begin, end - begin + 1));
  }
  return lines;
}

std::string names_in(const std::string& dir) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(dir))
    names.push_back(entry.path().filename().string() + (entry.is_directory() ? "/" : ""));
  std::sort(names.begin(), names.end());
  std::string text;
  for (size_t i = 0; i < std::min<size_t>(names.size(), 6); ++i) text += (i ? ", " : "") + names[i];
  if (names.size() > 6) text += " and " + std::to_string(names.size() - 6) + " more";
  return names.empty() ? "nothing" : text;
}

std::string patient_of(const std::string& id) {
  static const std::regex mark("[_-](frame|slice_|(slice|slc|z)[_-]?[0-9])");
  std::smatch match;
  return std::regex_search(id.begin() + (id.empty() ? 0 : 1), id.end(), match, mark)
             ? id.substr(0, size_t(match.position(0)) + 1)
             : id;
}

}  // namespace patchcl
