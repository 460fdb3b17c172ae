#include "data/layouts/mask_values.h"

#include <algorithm>

#include "data/formats/readers.h"
#include "data/objects.h"
#include "tensor/error.h"
#include "tensor/text.h"

namespace patchcl {

namespace {
constexpr size_t kPathsNamed = 3, kValuesNamed = 3;
// Masks of few classes are not looked at for pieces; a data set with more classes than this may be objects.
constexpr int kSeveral = 3;
constexpr size_t kManyClasses = 8;
}  // namespace

void MaskValues::add(const Grid& stored, const std::string& path) {
  const std::vector<uint8_t> label = to_label(stored, path);
  std::array<int64_t, 256> pixels{};
  for (const uint8_t v : label) ++pixels[v];
  int here = 0;
  for (size_t v = 0; v < 256; ++v) {
    if (pixels[v] == 0) continue;
    here += v > 0;
    HeldValue& held = held_[v];
    held.pixels += pixels[v];
    if (++held.masks <= int64_t(kPathsNamed)) held.paths.push_back(path);
  }
  if (const int with_zero = here + (pixels[0] > 0); with_zero > most_) {
    most_ = with_zero;
    fullest_ = path;
  }
  if (here <= kSeveral || stored.depth > 1) return;
  const ObjectOptions as_they_are{.least = 1, .fill_holes = false};
  const std::vector<int32_t> pieces = number_objects(label.data(), stored.height, stored.width, as_they_are);
  numbers_ += here;
  pieces_ += *std::max_element(pieces.begin(), pieces.end());
}

std::vector<uint8_t> MaskValues::seen() const {
  std::vector<uint8_t> values;
  for (size_t v = 0; v < 256; ++v)
    if (held_[v].masks > 0) values.push_back(uint8_t(v));
  return values;
}

// "7 in 12 pixels of b.png; 1 in 460 pixels of a.png, c.png, d.png and 9 more": background left out.
std::string MaskValues::rarest() const {
  std::vector<uint8_t> values = seen();
  std::erase(values, 0);
  std::stable_sort(values.begin(), values.end(), [&](uint8_t a, uint8_t b) {
    return std::pair(held_[a].masks, held_[a].pixels) < std::pair(held_[b].masks, held_[b].pixels);
  });
  TextOut s;
  for (size_t i = 0; i < std::min(values.size(), kValuesNamed); ++i) {
    const HeldValue& held = held_[values[i]];
    s << (i ? "; " : "") << +values[i] << " in " << held.pixels << " pixels of ";
    s << listed(held.paths, ", ");
    if (held.masks > int64_t(kPathsNamed)) s << " and " << held.masks - int64_t(kPathsNamed) << " more";
  }
  return s.str();
}

void MaskValues::refuse_grey() const {
  const std::vector<uint8_t> values = seen();
  const std::vector<uint8_t> first(values.begin(), values.begin() + kValuesNamed);
  const std::string note = note_on_objects();
  fail(ExitCode::data, "data", "masks hold ", values.size(), " values (", listed(first), " ... ",
      +values.back(), "), ", most_, " of them in ", fullest_, "; ", note, note.empty() ? "" : "; otherwise ",
      "edges were smoothed, or these are grey images and no masks: threshold masks of black and white at ",
      "128, and resize masks with the nearest pixel; more than ", kMostClasses,
      " classes are named with --label-values");
}

void MaskValues::demand_class_numbers() const {
  const std::vector<uint8_t> values = seen();
  const bool in_a_row = !values.empty() && size_t(values.back()) + 1 == values.size();
  if (values.size() == held_.size() || (values.size() > kMostClasses && !in_a_row)) refuse_grey();
  if (values.empty() || in_a_row) return;
  std::vector<uint8_t> all;
  for (int v = 0; v <= values.back(); ++v) all.push_back(uint8_t(v));
  std::string more;
  if (all.size() <= 2 * values.size())
    more = "; where a class only happens to be absent, name it too: --label-values " + listed(all);
  if (const std::string note = note_on_objects(); !note.empty()) more += "; " + note;
  fail(ExitCode::data, "data", "masks hold ", listed(values),
      ", and classes are 0,1,2 ...; rarest: ", rarest(),
      "; mend the masks where that is a mistake, or say --label-values ", listed(values),
      " to number the values in this order", more);
}

std::string MaskValues::note_on_objects() const {
  const size_t values = seen().size();
  const bool in_one_piece = numbers_ > 0 && pieces_ <= numbers_ + numbers_ / 5;
  if (values <= kManyClasses || !in_one_piece) return "";
  return "masks hold " + std::to_string(values) +
         " values, each in one piece, as numbered objects do: --instance-masks true reads them as objects of "
         "one "
         "class";
}

}  // namespace patchcl
