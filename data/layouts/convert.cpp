#include "data/layouts/convert.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "data/class_names.h"
#include "tensor/file.h"
#include "data/formats/h5.h"
#include "data/formats/image.h"
#include "data/formats/nifti.h"
#include "data/formats/readers.h"
#include "data/layouts/splits.h"
#include "tensor/error.h"

namespace fs = std::filesystem;

namespace patchcl {

namespace {

using nlohmann::json;

// A case as it is written: an image with its class numbers.
struct Case {
  std::string id, path;  // path: of the source, for messages and geometry
  Split split = Split::train;
  Grid image;
  std::vector<uint8_t> label;  // D*H*W; empty: unlabelled

  int64_t slice_values() const { return image.height * image.width * image.channels; }
  int64_t slice_pixels() const { return image.height * image.width; }
};

// The lists of names, one a line or as JSON.
struct Lists {
  std::vector<std::string> train, validation, test;
  void add(Split split, const std::string& name) {
    if (split == Split::train) train.push_back(name);
    else (split == Split::test ? test : validation).push_back(name);
  }
};

// What write_h5 takes.
const std::vector<uint8_t>* labels(const std::vector<uint8_t>& label) {
  return label.empty() ? nullptr : &label;
}

// A target is told each case once and then that all were told.
class Writer {
 public:
  Writer(const std::string& to, ConvertReport& report) : to_(to), report_(report) {}
  virtual ~Writer() = default;
  virtual void write(const Case& c) = 0;
  // Last, so that a conversion that was cut short is no data set.
  virtual void finish(const Layout& layout) = 0;

 protected:
  void write_text(const std::string& name, const std::string& text) const {
    patchcl::write_text(to_ + "/" + name, text);
  }
  void write_list(const std::string& name, const std::vector<std::string>& lines) const {
    std::string text;
    for (const std::string& line : lines) text += line + "\n";
    write_text(name, text);
  }
  // "ID" for a single image, "ID_slice_007" for the seventh slice of a volume.
  static std::string slice_name(const Case& c, int64_t z) {
    char number[32];
    std::snprintf(number, sizeof number, "_slice_%03lld", static_cast<long long>(z + 1));
    return c.image.depth == 1 ? c.id : c.id + number;
  }
  static std::vector<uint8_t> slice_label(const Case& c, int64_t z) {
    if (c.label.empty()) return {};
    const auto begin = c.label.begin() + z * c.slice_pixels();
    return {begin, begin + c.slice_pixels()};
  }
  // val.list and test.list.
  void write_held_out_lists() const {
    if (!split_.validation.empty()) write_list("val.list", split_.validation);
    if (!split_.test.empty()) write_list("test.list", split_.test);
  }
  static void refuse_colour(const Case& c, const char* target) {
    if (c.image.channels != 1)
      fail(ExitCode::data, "data", c.path, " has ", c.image.channels, " channels; ", target,
          " has room for one, convert to png");
  }

  const std::string to_;
  ConvertReport& report_;
  Lists split_;
};

// (v - low) / (high - low), in the arithmetic of the type that the file stores, as numpy does it.
std::vector<double> in_unit_range(const Grid& g) {
  std::vector<double> unit;
  const double range = range_of(g);
  for (const double v : g.values)
    unit.push_back(g.stored_as_f32 ? double((float(v) - float(g.low)) / float(range)) : (v - g.low) / range);
  return unit;
}

class Ssl4misWriter : public Writer {
 public:
  using Writer::Writer;
  void write(const Case& c) override {
    refuse_colour(c, "SSL4MIS's layout");
    make_folders(to_ + "/data/slices");
    const std::vector<double> image = in_unit_range(c.image);
    const int64_t h = c.image.height, w = c.image.width, n = c.slice_pixels();
    if (c.split != Split::train) {
      split_.add(c.split, c.id);
      return write_h5(to_ + "/data/" + c.id + ".h5", {c.image.depth, h, w}, &image, labels(c.label));
    }
    for (int64_t z = 0; z < c.image.depth; ++z) {
      const std::string name = c.image.depth == 1 ? c.id : c.id + "_slice_" + std::to_string(z + 1);
      split_.add(Split::train, name);
      const std::vector<double> slice(image.begin() + z * n, image.begin() + (z + 1) * n);
      const std::vector<uint8_t> label = slice_label(c, z);
      write_h5(to_ + "/data/slices/" + name + ".h5", {h, w}, &slice, labels(label));
    }
  }
  void finish(const Layout&) override {
    write_held_out_lists();
    write_list("train_slices.list", split_.train);
  }
};

class NnunetWriter : public Writer {
 public:
  using Writer::Writer;
  void write(const Case& c) override {
    refuse_colour(c, "a file of nnU-Net");
    const std::string to = c.split == Split::test || c.label.empty() ? "Ts" : "Tr";
    make_folders(to_ + "/images" + to);
    const std::string like = is_one_nifti(c) ? c.path : "";
    write_nifti(to_ + "/images" + to + "/" + c.id + "_0000.nii.gz", c.image, exact_type(c.image), like);
    if (c.label.empty()) return;
    make_folders(to_ + "/labels" + to);
    if (c.split != Split::test) split_.add(c.split, c.id);
    Grid label = c.image;
    label.values.assign(c.label.begin(), c.label.end());
    write_nifti(to_ + "/labels" + to + "/" + c.id + ".nii.gz", label, NiftiType::u8, like);
    classes_ = std::max(classes_, int64_t(*std::max_element(c.label.begin(), c.label.end())) + 1);
  }
  void finish(const Layout& layout) override {
    json labels = json::object();
    for (int64_t k = 0; k < std::max(classes_, int64_t(layout.class_names.size())); ++k)
      labels[class_name(layout.class_names, k)] = k;
    if (!split_.validation.empty())
      write_text("splits_final.json",
          json::array({{{"train", split_.train}, {"val", split_.validation}}}).dump(1) + "\n");
    write_text("dataset.json",
        json{{"channel_names", {{"0", "image"}}}, {"labels", labels},
            {"numTraining", split_.train.size() + split_.validation.size()}, {"file_ending", ".nii.gz"}}
                .dump(1) +
            "\n");
  }

 private:
  // Not several files that make up one volume: the first one's header would not fit it.
  static bool is_one_nifti(const Case& c) {
    return is_readable(c.path) && format_of(c.path) == Format::nifti &&
           read_nifti_header(c.path).depth == c.image.depth;
  }
  int64_t classes_ = 2;
};

class PngWriter : public Writer {
 public:
  using Writer::Writer;
  void write(const Case& c) override {
    if (c.image.channels != 1 && c.image.channels != 3)
      fail(ExitCode::data, "data", c.path, " has ", c.image.channels, " channels; PNG has room for 1 or 3");
    for (const char* name : {"/images", "/masks"}) make_folders(to_ + name);
    const auto whole = [&](double largest) {
      return std::all_of(c.image.values.begin(), c.image.values.end(),
          [&](double v) { return v >= 0 && v <= largest && v == std::floor(v); });
    };
    if (whole(255)) return write_as<uint8_t>(c, c.image.values);
    if (whole(65535)) return write_as<uint16_t>(c, c.image.values);
    write_as<uint16_t>(c, rounded(c.image));
  }
  void finish(const Layout&) override {
    write_held_out_lists();
    write_list("train.list", split_.train);
  }

 private:
  template <class T> void write_as(const Case& c, const std::vector<double>& values) {
    for (int64_t z = 0; z < c.image.depth; ++z) {
      const std::string name = slice_name(c, z);
      const int64_t h = c.image.height, w = c.image.width, n = c.slice_values();
      const std::vector<T> pixels(values.begin() + z * n, values.begin() + (z + 1) * n);
      split_.add(c.split, name);
      write_png(to_ + "/images/" + name + ".png", pixels.data(), h, w, c.image.channels);
      if (const std::vector<uint8_t> label = slice_label(c, z); !label.empty())
        write_png(to_ + "/masks/" + name + ".png", label.data(), h, w, 1);
    }
  }
  std::vector<double> rounded(const Grid& g) {
    const double range = range_of(g);
    std::vector<double> levels;
    double worst = 0;
    for (const double v : g.values) {
      const double at = (v - g.low) / range * 65535;
      levels.push_back(std::round(at));
      worst = std::max(worst, std::abs(at - levels.back()) / 65535);
    }
    ++report_.rounded_cases;
    report_.largest_error = std::max(report_.largest_error, worst);
    return levels;
  }
};

std::unique_ptr<Writer> make_writer(Target target, const std::string& to, ConvertReport& report) {
  switch (target) {
    case Target::ssl4mis: return std::make_unique<Ssl4misWriter>(to, report);
    case Target::nnunet: return std::make_unique<NnunetWriter>(to, report);
    default: return std::make_unique<PngWriter>(to, report);
  }
}

// What becomes one case: a source, or for nnunet the slices ID_slice_N of a volume in the order of N.
struct Parts {
  std::string id;
  std::map<int64_t, const Source*> by_number;
};

// "ID_slice_7" -> ("ID", 7); any other name, and every one when slices stay apart, -> (name, 0).
std::pair<std::string, int64_t> place_of(const std::string& name, bool join) {
  const size_t at = join ? name.rfind("_slice_") : std::string::npos;
  const std::string number = at == std::string::npos ? "" : name.substr(at + 7);
  if (number.empty() || number.size() > 9 || number.find_first_not_of("0123456789") != std::string::npos)
    return {name, 0};
  return {name.substr(0, at), std::stoll(number)};
}

// In the order in which the list names them first.
std::vector<Parts> cases_of(const std::vector<Source>& sources, bool join) {
  std::vector<Parts> cases;
  std::map<std::string, size_t> index;
  for (const Source& s : sources) {
    if (s.id.find('/') != std::string::npos)
      fail(ExitCode::data, "data", "'", s.id, "' is no name of a file; take the / out of the list");
    const auto [id, number] = place_of(s.id, join);
    const size_t at = index.emplace(id, cases.size()).first->second;
    if (at == cases.size()) cases.push_back({id, {}});
    if (!cases[at].by_number.emplace(number, &s).second)
      fail(ExitCode::data, "data", "'", s.id, "' is listed twice");
  }
  return cases;
}

Case read_case(const Layout& layout, const Parts& parts, Split split) {
  Case c;
  c.id = parts.id;
  c.split = split;
  for (const auto& [number, s] : parts.by_number) {
    const Grid image = s->image(), label = s->labeled() ? read_label(layout, *s) : Grid{};
    const Volume v = to_volume(s->id, s->path, image, s->labeled() ? &label : nullptr, s->label_path);
    if (c.path.empty()) {
      c.image = image;
      c.image.depth = 0;
      c.image.values.clear();
      c.path = s->path;
    }
    if (image.height != c.image.height || image.width != c.image.width || image.channels != c.image.channels)
      fail(
          ExitCode::data, "data", s->path, " is ", image.size_text(), ", another slice of ", c.id, " is not");
    c.image.depth += image.depth;
    c.image.values.insert(c.image.values.end(), image.values.begin(), image.values.end());
    c.label.insert(c.label.end(), v.label.begin(), v.label.end());
  }
  if (!c.label.empty() && int64_t(c.label.size()) != c.image.depth * c.slice_pixels())
    fail(ExitCode::data, "data", c.id, " has labels in some slices only; take it apart or label all");
  return c;
}

}  // namespace

ConvertReport convert_data(const std::string& from, const std::string& to, Target target,
    const ReadOptions& options, const std::function<void(int64_t, int64_t)>& progress) {
  Layout layout = open_layout(from, options);
  std::error_code error;
  if (fs::exists(to) && !fs::is_empty(to, error))
    fail(ExitCode::io, "data", to, " is there already and not empty; choose another folder");
  if (!layout.folds.empty() && layout.validation.empty()) divide(layout, {});
  const bool join = target == Target::nnunet;
  const std::pair<Split, std::vector<Parts>> parts[] = {{Split::train, cases_of(layout.train, join)},
      {Split::validation, cases_of(layout.validation, join)}, {Split::test, cases_of(layout.test, join)}};
  int64_t all = 0;
  for (const auto& [split, cases] : parts) all += int64_t(cases.size());
  ConvertReport report;
  const std::unique_ptr<Writer> writer = make_writer(target, to, report);
  for (const auto& [split, cases] : parts)
    for (const Parts& one : cases) {
      const Case c = read_case(layout, one, split);
      writer->write(c);
      ++report.cases;
      report.slices += c.image.depth;
      if (progress) progress(report.cases, all);
    }
  writer->finish(layout);
  return report;
}

}  // namespace patchcl
