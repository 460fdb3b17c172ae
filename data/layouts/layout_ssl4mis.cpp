// SSL4MIS (METHODS 4.1): train_slices.list names data/slices/NAME.h5, val.list names data/NAME.h5.
#include <filesystem>

#include "data/formats/h5.h"
#include "data/layouts/layout.h"
#include "tensor/error.h"

namespace fs = std::filesystem;

namespace patchcl {

namespace {
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
    s.label = [path = s.path] { return read_h5(path, "label"); };
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
  // The lists carry no class names; "patientNNN_frameMM" is how ACDC's cases are called.
  if (!layout.train.empty() && layout.train[0].id.starts_with("patient"))
    layout.class_names = {"background", "RV", "Myo", "LV"};
  return layout;
}

}  // namespace patchcl
