#include "data/layouts/convert.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "tensor/file.h"
#include "data/formats/h5.h"
#include "data/formats/image.h"
#include "data/formats/nifti.h"
#include "data/formats/readers.h"
#include "tensor/error.h"

namespace fs = std::filesystem;

namespace patchcl {

namespace {

using nlohmann::json;

// A case as it is written: an image with its class numbers.
struct Case {
  std::string id, path;  // path: of the source, for messages and geometry
  bool training = true;
  Grid image;
  std::vector<uint8_t> label;  // D*H*W

  int64_t slice_values() const { return image.height * image.width * image.channels; }
  int64_t slice_pixels() const { return image.height * image.width; }
};

// The two lists of a split, one name a line or as JSON.
struct Split {
  std::vector<std::string> train, validation;
  void add(bool training, const std::string& name) { (training ? train : validation).push_back(name); }
};

// A target is told each case once and then that all were told.
class Writer {
 public:
  Writer(const std::string& to, ConvertReport& report) : to_(to), report_(report) {}
  virtual ~Writer() = default;
  virtual void write(const Case& c) = 0;
  // Last, so that a conversion that was cut short is no data set.
  virtual void finish(const Layout& layout) = 0;

 protected:
  void make_folders(const std::vector<std::string>& names) const {
    for (const std::string& name : names) {
      std::error_code error;
      fs::create_directories(to_ + "/" + name, error);
      if (error) fail(ExitCode::io, "data", "cannot create ", to_, "/", name, ": ", error.message());
    }
  }
  void write_text(const std::string& name, const std::string& text) const {
    write_bytes(to_ + "/" + name, Bytes(text.begin(), text.end()));
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
  static void refuse_colour(const Case& c, const char* target) {
    if (c.image.channels != 1)
      fail(ExitCode::data, "data", c.path, " has ", c.image.channels, " channels; ", target,
          " has room for one, convert to png");
  }

  const std::string to_;
  ConvertReport& report_;
  Split split_;
};

class Ssl4misWriter : public Writer {
 public:
  using Writer::Writer;
  void write(const Case& c) override {
    refuse_colour(c, "SSL4MIS's layout");
    make_folders({"data/slices"});
    std::vector<double> image;
    const double range = c.image.high - c.image.low,
                 scale = range > 0 ? 1 / range : 0;  // as normalized() does
    for (const double v : c.image.values) image.push_back((v - c.image.low) * scale);
    const int64_t h = c.image.height, w = c.image.width, n = c.slice_pixels();
    if (!c.training) {
      split_.add(false, c.id);
      return write_h5(to_ + "/data/" + c.id + ".h5", {c.image.depth, h, w}, &image, &c.label);
    }
    for (int64_t z = 0; z < c.image.depth; ++z) {
      split_.add(true, slice_name(c, z));
      const std::vector<double> slice(image.begin() + z * n, image.begin() + (z + 1) * n);
      const std::vector<uint8_t> label(c.label.begin() + z * n, c.label.begin() + (z + 1) * n);
      write_h5(to_ + "/data/slices/" + slice_name(c, z) + ".h5", {h, w}, &slice, &label);
    }
  }
  void finish(const Layout&) override {
    if (!split_.validation.empty()) write_list("val.list", split_.validation);
    write_list("train_slices.list", split_.train);
  }
};

class NnunetWriter : public Writer {
 public:
  using Writer::Writer;
  void write(const Case& c) override {
    refuse_colour(c, "a file of nnU-Net");
    make_folders({"imagesTr", "labelsTr"});
    split_.add(c.training, c.id);
    const std::string like = format_is_nifti(c.path) ? c.path : "";
    write_nifti(to_ + "/imagesTr/" + c.id + "_0000.nii.gz", c.image, exact_type(c.image), like);
    Grid label = c.image;
    label.values.assign(c.label.begin(), c.label.end());
    write_nifti(to_ + "/labelsTr/" + c.id + ".nii.gz", label, NiftiType::u8, like);
    classes_ = std::max(classes_, int64_t(*std::max_element(c.label.begin(), c.label.end())) + 1);
  }
  void finish(const Layout& layout) override {
    json labels = json::object();
    const int64_t named = int64_t(layout.class_names.size());
    for (int64_t k = 0; k < std::max(classes_, named); ++k)
      labels[k < named ? layout.class_names[size_t(k)] : class_name(k)] = k;
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
  static bool format_is_nifti(const std::string& path) {
    return path.ends_with(".nii") || path.ends_with(".nii.gz");
  }
  static std::string class_name(int64_t k) { return k == 0 ? "background" : "class " + std::to_string(k); }
  int64_t classes_ = 2;
};

class PngWriter : public Writer {
 public:
  using Writer::Writer;
  void write(const Case& c) override {
    if (c.image.channels != 1 && c.image.channels != 3)
      fail(ExitCode::data, "data", c.path, " has ", c.image.channels, " channels; PNG has room for 1 or 3");
    make_folders({"images", "masks"});
    const auto whole = [&](double largest) {
      return std::all_of(c.image.values.begin(), c.image.values.end(),
          [&](double v) { return v >= 0 && v <= largest && v == std::floor(v); });
    };
    if (whole(255)) return write_as<uint8_t>(c, c.image.values);
    if (whole(65535)) return write_as<uint16_t>(c, c.image.values);
    write_as<uint16_t>(c, rounded(c.image));
  }
  void finish(const Layout&) override {
    if (!split_.validation.empty()) write_list("val.list", split_.validation);
    write_list("train.list", split_.train);
  }

 private:
  template <class T> void write_as(const Case& c, const std::vector<double>& values) {
    for (int64_t z = 0; z < c.image.depth; ++z) {
      const std::string name = slice_name(c, z);
      const int64_t h = c.image.height, w = c.image.width, n = c.slice_values();
      const std::vector<T> pixels(values.begin() + z * n, values.begin() + (z + 1) * n);
      split_.add(c.training, name);
      write_png(to_ + "/images/" + name + ".png", pixels.data(), h, w, c.image.channels);
      write_png(to_ + "/masks/" + name + ".png", c.label.data() + z * c.slice_pixels(), h, w, 1);
    }
  }
  std::vector<double> rounded(const Grid& g) {
    const double range = g.high > g.low ? g.high - g.low : 1;
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

Case read_case(const Parts& parts, bool training) {
  Case c;
  c.id = parts.id;
  c.training = training;
  for (const auto& [number, s] : parts.by_number) {
    const Grid image = s->image(), label = s->label();
    const Volume v = to_volume(s->id, s->path, image, &label, s->label_path);
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
  return c;
}

}  // namespace

ConvertReport convert_data(const std::string& from, const std::string& to, Target target,
    const std::function<void(int64_t, int64_t)>& progress) {
  const Layout layout = open_layout(from);
  std::error_code error;
  if (fs::exists(to) && !fs::is_empty(to, error))
    fail(ExitCode::io, "data", to, " is there already and not empty; choose another folder");
  const bool join = target == Target::nnunet;
  const auto train = cases_of(layout.train, join), validation = cases_of(layout.validation, join);
  ConvertReport report;
  const std::unique_ptr<Writer> writer = make_writer(target, to, report);
  const auto convert = [&](const std::vector<Parts>& cases, bool training) {
    for (const Parts& parts : cases) {
      const Case c = read_case(parts, training);
      writer->write(c);
      ++report.cases;
      report.slices += c.image.depth;
      if (progress) progress(report.cases, int64_t(train.size() + validation.size()));
    }
  };
  convert(train, true);
  convert(validation, false);
  writer->finish(layout);
  return report;
}

}  // namespace patchcl
