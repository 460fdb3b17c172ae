// SSL4MIS (METHODS 4.1): train_slices.list names data/slices/NAME.h5, val.list and test.list name
// data/NAME.h5. A file without a data set "label" is unlabelled.
#include <filesystem>

#include "data/class_names.h"
#include "data/formats/h5.h"
#include "data/layouts/layout.h"
#include "tensor/error.h"

namespace fs = std::filesystem;

namespace patchcl {

namespace {
// What cannot be read is found out by whoever reads it.
bool may_have_label(const std::string& path) {
  try {
    return h5_has(path, "label");
  } catch (const Error&) {
    return true;
  }
}

std::vector<Source> h5_sources(const std::string& list, const std::string& folder) {
  std::vector<Source> sources;
  for (const std::string& name : read_list(list)) {
    Source s;
    s.id = name;
    s.group = patient_of(name);
    s.path = s.label_path = folder + "/" + name + ".h5";
    if (!fs::exists(s.path))
      fail(ExitCode::data, "data", list, " names '", name, "', but there is no ", s.path);
    s.image = [path = s.path] { return read_h5(path, "image"); };
    if (may_have_label(s.path)) s.label = [path = s.path] { return read_h5(path, "label"); };
    sources.push_back(std::move(s));
  }
  return sources;
}
}  // namespace

Layout ssl4mis_layout(const std::string& dir) {
  Layout layout;
  layout.name = "SSL4MIS";
  layout.train = h5_sources(dir + "/train_slices.list", dir + "/data/slices");
  if (fs::exists(dir + "/val.list")) layout.validation = h5_sources(dir + "/val.list", dir + "/data");
  if (fs::exists(dir + "/test.list")) layout.test = h5_sources(dir + "/test.list", dir + "/data");
  // The lists carry no class names; "patientNNN_frameMM" is how ACDC's cases are called.
  if (!layout.train.empty() && layout.train[0].id.starts_with("patient")) layout.class_names = kAcdcClasses;
  return layout;
}

}  // namespace patchcl
