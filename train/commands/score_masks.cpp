#include "train/commands/score_masks.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iostream>
#include <limits>
#include <map>
#include <numeric>

#include "data/class_names.h"
#include "data/formats/image.h"
#include "data/formats/readers.h"
#include "data/placement.h"
#include "tensor/error.h"
#include "tensor/text.h"
#include "train/evaluate/progress.h"

namespace patchcl {

namespace {

namespace fs = std::filesystem;

// The masks of a folder by the names of their cases.
std::map<std::string, std::string> masks_of(const std::string& folder) {
  std::map<std::string, std::string> masks;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (!is_wanted_file(entry, is_readable)) continue;
    const std::string path = entry.path();
    const auto [other, first] = masks.emplace(stem_of(path), path);
    if (!first)
      fail(ExitCode::data, "score", other->second, " and ", path, " are both '", stem_of(path),
          "'; leave one of them in ", folder);
  }
  return masks;
}

Grid read_stored(const std::string& path) {
  return format_of(path) == Format::image ? read_image(path, Use::mask) : read_grid(path, "label");
}

NumberedMask numbers_of(const Grid& stored, const std::string& path) {
  demand_grey(stored, path);
  NumberedMask mask{{}, {stored.depth, stored.height, stored.width, stored.spacing}, stored.spacing_known};
  for (size_t i = 0; i < stored.values.size(); i += size_t(stored.channels)) {
    const double v = stored.values[i];
    if (!(v >= 0 && v <= std::numeric_limits<int32_t>::max() && v == double(int32_t(v))))
      fail(ExitCode::data, "score", path, " holds ", v, ", which is no class and no object's number");
    mask.values.push_back(int32_t(v));
  }
  return mask;
}

std::pair<Grid, Grid> read_stored(const MaskPair& pair) {
  std::pair<Grid, Grid> masks{read_stored(pair.reference), read_stored(pair.prediction)};
  const Grid &r = masks.first, &p = masks.second;
  if (r.depth != p.depth || r.height != p.height || r.width != p.width)
    fail(ExitCode::data, "score", pair.reference, " is ", r.depth, "x", r.height, "x", r.width, ", ",
        pair.prediction, " is ", p.depth, "x", p.height, "x", p.width,
        " (slices, rows, columns); score masks of one size");
  demand_same_placement_of_masks(r, pair.reference, p, pair.prediction);
  return masks;
}

// The numbers in all masks of one side, and the mask with the most different ones.
struct SideNumbers {
  std::set<int32_t> values{0};
  std::string fullest;
  size_t most = 0;

  void add(const NumberedMask& mask, const std::string& path) {
    const std::set<int32_t> held(mask.values.begin(), mask.values.end());
    values.insert(held.begin(), held.end());
    if (held.size() <= most) return;
    most = held.size();
    fullest = path;
  }
  bool within(const std::set<int32_t>& others) const {
    return std::includes(others.begin(), others.end(), values.begin(), values.end());
  }
  bool is_binary() const { return within({0, 1}) || within({0, 255}); }
};

// Grey, and each number that of one of so many classes.
bool holds_class_numbers(const Grid& stored, int64_t classes) {
  const size_t n = size_t(stored.channels);
  for (size_t i = 0; i < stored.values.size(); ++i) {
    const double v = stored.values[i];
    if (!(v >= 0 && v < double(classes) && v == std::floor(v)) || v != stored.values[i - i % n]) return false;
  }
  return true;
}

// Both with classes, and none of them the same.
bool strangers(const std::set<int32_t>& a, const std::set<int32_t>& b) {
  const auto is_class_of_b = [&](int32_t v) { return v != 0 && b.contains(v); };
  return *a.rbegin() != 0 && *b.rbegin() != 0 && std::none_of(a.begin(), a.end(), is_class_of_b);
}

}  // namespace

std::vector<MaskPair> mask_pairs(const std::string& reference, const std::string& prediction) {
  for (const std::string& where : {reference, prediction})
    if (!fs::exists(where)) fail(ExitCode::data, "score", "there is no ", where);
  if (fs::is_directory(reference) != fs::is_directory(prediction))
    fail(ExitCode::usage, "score", reference, " and ", prediction, " must be two files or two folders");
  if (!fs::is_directory(reference)) return {{stem_of(reference), reference, prediction}};
  std::vector<MaskPair> pairs;
  const auto references = masks_of(reference), predictions = masks_of(prediction);
  for (const auto& [id, path] : references) {
    const auto found = predictions.find(id);
    if (found == predictions.end())
      fail(ExitCode::data, "score", prediction, " has no mask '", id, "' for ", path,
          "; masks pair by equal names");
    pairs.push_back({id, path, found->second});
  }
  if (pairs.empty()) fail(ExitCode::data, "score", reference, " holds no mask");
  if (predictions.size() > pairs.size())
    std::cerr << "not scored: " << counted(int64_t(predictions.size() - pairs.size()), "mask") << " of "
              << prediction << " without a reference in " << reference << "\n";
  return pairs;
}

NumberedMasks read_numbers(const MaskPair& pair) {
  const auto [reference, prediction] = read_stored(pair);
  return {numbers_of(reference, pair.reference), numbers_of(prediction, pair.prediction)};
}

ClassMasks::ClassMasks(
    const std::vector<MaskPair>& pairs, LabelMap labels, bool binary, PredictionHolds holds)
    : labels_(std::move(labels)), binary_(binary) {
  if (!labels_.empty()) {
    prediction_listed_ = holds == PredictionHolds::fit ? are_listed(pairs) : holds == PredictionHolds::values;
    classes_.resize(binary ? 2 : size_t(labels_.classes()));
    std::iota(classes_.begin(), classes_.end(), 0);
    return;
  }
  if (binary) {
    classes_ = {0, 1};
    return;
  }
  SideNumbers reference, prediction;
  ProgressLine line(int64_t(pairs.size()), {.item = "reading", .out = stderr});
  int64_t read = 0;
  for (const MaskPair& pair : pairs) {
    const NumberedMasks masks = read_numbers(pair);
    reference.add(masks.first, pair.reference);
    prediction.add(masks.second, pair.prediction);
    line.update(++read);
  }
  for (const SideNumbers* side : {&reference, &prediction})
    if (side->values.size() > kMostClasses)
      fail(ExitCode::data, "score", side->fullest, " holds ", side->most, " different numbers",
          side->values.size() > side->most ? ", and the masks beside it others" : "",
          "; a grey image is no mask, more than ", kMostClasses,
          " classes are named with --label-values, numbered objects are scored with --instances");
  white_is_one_ = reference.is_binary() && prediction.is_binary();
  if (!white_is_one_ && strangers(reference.values, prediction.values))
    std::cerr
        << "reference and prediction have no number in common but 0: --label-values says which number is "
           "which class, --binary makes all one\n";
  std::set<int32_t> values{0};
  for (const SideNumbers* side : {&reference, &prediction})
    for (const int32_t v : side->values) values.insert(white_is_one_ ? int32_t(v != 0) : v);
  if (values.size() == 1) values.insert(1);
  classes_.assign(values.begin(), values.end());
}

// Whether the predictions hold the listed values, and not class numbers: where they fit both, and that makes
// a difference, nobody but the user knows.
bool ClassMasks::are_listed(const std::vector<MaskPair>& pairs) const {
  bool listed = true, numbered = true;
  std::string differs;
  for (const MaskPair& pair : pairs) {
    const Grid stored = read_stored(pair.prediction);
    const bool in_list = covers(labels_, stored),
               are_numbers = holds_class_numbers(stored, labels_.classes());
    listed = listed && in_list;
    numbered = numbered && are_numbers;
    if (!in_list || !are_numbers || !differs.empty()) continue;
    const std::vector<double> as_listed = mapped(stored, labels_, pair.prediction).values;
    for (size_t i = 0; i < as_listed.size(); ++i) {
      const double as_number = stored.values[i * size_t(stored.channels)];
      if (binary_ ? (as_listed[i] != 0) != (as_number != 0) : as_listed[i] != as_number)
        differs = pair.prediction;
    }
  }
  if (listed && numbered && !differs.empty())
    fail(ExitCode::usage, "score", differs,
        " may hold the listed values as the references do, or class numbers as `predict` writes them, "
        "and the scores differ; say --prediction-holds values or --prediction-holds classes");
  return listed;
}

std::vector<std::string> ClassMasks::names() const {
  std::vector<std::string> names;
  for (size_t c = 1; c < classes_.size(); ++c) names.push_back(class_name({}, classes_[c]));
  return names;
}

NumberedMask ClassMasks::as_classes(const Grid& stored, const std::string& path, bool listed) const {
  const bool map = listed && !labels_.empty();
  NumberedMask mask = numbers_of(map ? mapped(stored, labels_, path) : stored, path);
  for (int32_t& v : mask.values) {
    if (binary_ || white_is_one_) v = v != 0;
    const auto at = std::lower_bound(classes_.begin(), classes_.end(), v);
    if (at == classes_.end() || *at != v)
      fail(ExitCode::data, "score", path, " holds ", v, ", which is neither among the ", labels_.classes(),
          " of --label-values or --label-colors nor a class number below that");
    v = int32_t(at - classes_.begin());
  }
  return mask;
}

NumberedMasks ClassMasks::read(const MaskPair& pair) const {
  const auto [reference, prediction] = read_stored(pair);
  return {as_classes(reference, pair.reference, true),
      as_classes(prediction, pair.prediction, prediction_listed_)};
}

}  // namespace patchcl
