#include "data/layouts/check.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "data/class_names.h"
#include "data/formats/readers.h"
#include "data/layouts/mask_values.h"
#include "data/layouts/palettes.h"
#include "data/layouts/splits.h"
#include "tensor/error.h"
#include "tensor/text.h"

namespace patchcl {

namespace {

void count_labels(const Volume& v, SplitReport& r) {
  for (int64_t z = 0; z < v.depth; ++z) {
    bool empty = true;
    for (int64_t i = z * v.slice_pixels(); i < (z + 1) * v.slice_pixels(); ++i) {
      const size_t k = v.label[size_t(i)];
      if (r.pixels.size() <= k) r.pixels.resize(k + 1);
      ++r.pixels[k];
      empty = empty && k == 0;
    }
    r.empty_slices += empty;
  }
}

void measure(const Grid& g, SplitReport& r) {
  r.slices += g.depth;
  r.depth.add(double(g.depth));
  r.height.add(double(g.height));
  r.width.add(double(g.width));
  r.channels.add(double(g.channels));
  r.slice_mm.add(g.spacing[0]);
  r.row_mm.add(g.spacing[1]);
  r.column_mm.add(g.spacing[2]);
  for (const double v : g.values)
    if (std::isfinite(v)) r.values.add(v);
}

// A label outside the classes, or an image without contrast.
void judge(const Source& s, const Volume& v, size_t classes, std::vector<std::string>& problems) {
  if (const int worst = *std::max_element(v.label.begin(), v.label.end());
      classes > 0 && size_t(worst) >= classes)
    problems.push_back(s.label_path + ": label " + std::to_string(worst) + " outside the " +
                       std::to_string(classes) + " classes");
  const auto [low, high] = std::minmax_element(v.image.begin(), v.image.end());
  if (*low == *high) problems.push_back(s.path + ": all values are equal");
}

class Checker {
 public:
  explicit Checker(const Layout& layout)
      : layout_(layout),
        values_tell_(!layout.instance_masks && layout.labels.empty() && layout.class_names.empty()) {}

  void check(const Source& s, SplitReport& r, std::vector<std::string>& problems) {
    try {
      const Grid image = s.image();
      measure(image, r);
      paths_[image.channels].push_back(s.path);
      if (!s.labeled()) {
        ++r.unlabeled;
        to_volume(s.id, s.path, image, nullptr, "");
        return;
      }
      const Grid stored = s.label();
      if (layout_.numbers_are_classes()) palettes_.add(stored, s.label_path);
      if (values_tell_) values_.add(stored, s.label_path);
      const Grid label = class_numbers(layout_, stored, s.label_path);
      const Volume v = to_volume(s.id, s.path, image, &label, s.label_path);
      if (v.label.empty()) {
        problems.push_back(s.path + ": no pixels");
        return;
      }
      count_labels(v, r);
      judge(s, v, layout_.class_names.size(), problems);
    } catch (const Error& e) {
      problems.push_back(e.what());
    }
  }

  // What the masks hold numbers classes as it is; else a problem.
  bool values_fit(DataReport& report) const {
    if (!values_tell_ || (layout_.pictures && values_.black_and_white())) return true;
    try {
      values_.demand_class_numbers();
    } catch (const Error& e) {
      report.problems.push_back(e.what());
      return false;
    }
    if (const std::string note = values_.note_on_objects(); !note.empty()) report.notes.push_back(note);
    return true;
  }

  // Images of other channels than most.
  void judge_channels(std::vector<std::string>& problems) const {
    if (paths_.size() < 2) return;
    const auto fewer = [](const auto& a, const auto& b) { return a.second.size() < b.second.size(); };
    const auto usual = std::max_element(paths_.begin(), paths_.end(), fewer);
    for (const auto& [channels, paths] : paths_)
      for (const std::string& path : paths)
        if (channels != usual->first)
          problems.push_back(path + ": " + std::to_string(channels) + " channel(s), " +
                             std::to_string(usual->second.size()) + " other images have " +
                             std::to_string(usual->first) + "; save all images with the same");
  }

 private:
  const Layout& layout_;
  const bool values_tell_;  // of classes: neither the folder nor an option does
  MaskValues values_;
  Palettes palettes_;
  std::map<int64_t, std::vector<std::string>> paths_;  // of images, by their channels
};

void check_names(const Layout& layout, DataReport& report) {
  std::map<std::string, int> named;
  std::map<std::string, std::set<std::string>> splits;
  const auto add = [&](const std::vector<Source>& sources, const std::string& split, SplitReport& r) {
    std::set<std::string> groups;
    for (const Source& s : sources) {
      groups.insert(s.group);
      splits[s.group].insert(split);
      ++named[s.id];
    }
    r.groups = int64_t(groups.size());
  };
  add(layout.train, "training", report.train);
  add(layout.validation, "validation", report.validation);
  add(layout.test, "test", report.test);
  for (const auto& [id, times] : named)
    if (times > 1) report.problems.push_back("'" + id + "' is listed " + std::to_string(times) + " times");
  for (const auto& [group, in] : splits)
    if (in.size() > 1)
      report.problems.push_back(
          "'" + group + "' is in the " + *in.begin() + " and in the " + *in.rbegin() + " split");
}

void demand_a_label(const Layout& layout, std::vector<std::string>& problems) {
  try {
    labeled_ids(layout, {});
  } catch (const Error& e) {
    problems.push_back(e.what());
  }
}

void name_classes(DataReport& report) {
  std::vector<std::string>& names = report.class_names;
  const std::pair<const char*, SplitReport*> parts[] = {
      {"training", &report.train}, {"validation", &report.validation}, {"test", &report.test}};
  size_t seen = 0;
  for (const auto& [split, r] : parts) seen = std::max(seen, r->pixels.size());
  names = named_up_to(names, int64_t(seen));
  if (seen == 1 && names.size() == 1)
    report.problems.push_back(
        "no mask holds anything but 0, the background, so there is nothing to learn; look at how the masks "
        "were written");
  for (const auto& [split, r] : parts) {
    const bool counted = !r->pixels.empty();  // else no mask of it could be read, which was said already
    r->pixels.resize(std::max(r->pixels.size(), names.size()));
    for (size_t k = 0; k < names.size() && counted; ++k)
      if (r->pixels[k] == 0)
        report.problems.push_back("the " + std::string(split) + " split has no pixel of class " +
                                  std::to_string(k) + " (" + names[k] + ")");
  }
}

}  // namespace

void Extent::add(double v) {
  low = std::min(low, v);
  high = std::max(high, v);
}

std::string Extent::text() const {
  if (low > high) return "-";
  TextOut s;
  s << low;
  if (high != low) s << " to " << high;
  return s.str();
}

DataReport check_data(const std::string& where, const ReadOptions& options,
    const std::function<void(int64_t, int64_t)>& progress) {
  const Layout layout = open_layout(where, options);
  DataReport report;
  report.layout = layout.name;
  report.class_names = layout.class_names;
  report.notes = layout.notes;
  report.problems = layout.problems;
  check_names(layout, report);
  const int64_t all = int64_t(layout.train.size() + layout.validation.size() + layout.test.size());
  if (layout.train.empty()) report.problems.push_back("no training case");
  else demand_a_label(layout, report.problems);
  int64_t done = 0;
  Checker checker(layout);
  const auto check = [&](const std::vector<Source>& sources, SplitReport& r) {
    r.sources = int64_t(sources.size());
    for (const Source& s : sources) {
      checker.check(s, r, report.problems);
      if (progress) progress(++done, all);
    }
  };
  check(layout.train, report.train);
  check(layout.validation, report.validation);
  check(layout.test, report.test);
  checker.judge_channels(report.problems);
  if (checker.values_fit(report)) name_classes(report);
  return report;
}

}  // namespace patchcl
