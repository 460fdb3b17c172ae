#include "data/layouts/check.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <sstream>

#include "data/formats/readers.h"
#include "tensor/error.h"

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

void check_source(const Source& s, size_t classes, SplitReport& r, std::vector<std::string>& problems) {
  try {
    const Grid image = s.image();
    measure(image, r);
    const Grid label = s.label();
    const Volume v = to_volume(s.id, s.path, image, &label, s.label_path);
    if (v.label.empty()) {
      problems.push_back(s.path + ": no pixels");
      return;
    }
    count_labels(v, r);
    judge(s, v, classes, problems);
  } catch (const Error& e) {
    problems.push_back(e.what());
  }
}

void check_names(const Layout& layout, DataReport& report) {
  std::map<std::string, int> named;
  std::set<std::string> train, both;
  for (const Source& s : layout.train) {
    train.insert(s.group);
    ++named[s.id];
  }
  std::set<std::string> validation;
  for (const Source& s : layout.validation) {
    validation.insert(s.group);
    ++named[s.id];
    if (train.contains(s.group)) both.insert(s.group);
  }
  report.train.groups = int64_t(train.size());
  report.validation.groups = int64_t(validation.size());
  for (const auto& [id, times] : named)
    if (times > 1) report.problems.push_back("'" + id + "' is listed " + std::to_string(times) + " times");
  for (const std::string& group : both)
    report.problems.push_back("'" + group + "' is in the training and in the validation split");
}

void name_classes(DataReport& report) {
  std::vector<std::string>& names = report.class_names;
  const size_t seen = std::max(report.train.pixels.size(), report.validation.pixels.size());
  for (size_t k = names.size(); k < seen; ++k)
    names.push_back(k == 0 ? std::string("background") : "class " + std::to_string(k));
  for (SplitReport* r : {&report.train, &report.validation}) {
    r->pixels.resize(std::max(r->pixels.size(), names.size()));
    for (size_t k = 0; k < names.size() && r->sources > 0; ++k)
      if (r->pixels[k] == 0)
        report.problems.push_back("the " + std::string(r == &report.train ? "training" : "validation") +
                                  " split has no pixel of class " + std::to_string(k) + " (" + names[k] +
                                  ")");
  }
}

}  // namespace

void Extent::add(double v) {
  low = std::min(low, v);
  high = std::max(high, v);
}

std::string Extent::text() const {
  if (low > high) return "-";
  std::ostringstream s;
  s << low;
  if (high != low) s << " to " << high;
  return s.str();
}

DataReport check_data(const std::string& where, const std::function<void(int64_t, int64_t)>& progress) {
  const Layout layout = open_layout(where);
  DataReport report;
  report.layout = layout.name;
  report.class_names = layout.class_names;
  check_names(layout, report);
  const int64_t all = int64_t(layout.train.size() + layout.validation.size());
  if (layout.train.empty()) report.problems.push_back("no training case");
  int64_t done = 0;
  const auto check = [&](const std::vector<Source>& sources, SplitReport& r) {
    r.sources = int64_t(sources.size());
    for (const Source& s : sources) {
      check_source(s, layout.class_names.size(), r, report.problems);
      if (progress) progress(++done, all);
    }
  };
  check(layout.train, report.train);
  check(layout.validation, report.validation);
  name_classes(report);
  return report;
}

}  // namespace patchcl
