// The Python module: weights and predictions on numpy arrays. As thin as it can be; training stays with the
// program. (.cc, so that the program's build leaves it alone; `make python` and train/python/setup.py build it.)
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <thread>

#include "tensor/parallel.h"
#include "train/evaluate/inference.h"
#include "train/setup/model_file.h"

namespace py = pybind11;
using namespace patchcl;

namespace {

using Floats = py::array_t<float, py::array::c_style | py::array::forcecast>;

class Network {
 public:
  explicit Network(const std::string& path) : model_(load_model(path, arena_)) {}

  const ModelInfo& info() const { return model_->info; }

  // Of slices (D,H,W,C) in [0,1]: classes (D,H,W), or probabilities (D,H,W,K).
  py::array predict(const Floats& slices, bool probabilities, bool largest_component) const {
    Volume v;
    v.id = "array";
    v.depth = slices.shape(0);
    v.height = slices.shape(1);
    v.width = slices.shape(2);
    v.channels = slices.shape(3);
    v.image.assign(slices.data(), slices.data() + slices.size());
    InferenceOptions o{.fit = info().fit, .size = info().size, .border = info().border,
        .largest_component = largest_component};
    const int64_t K = info().unet.classes;
    py::array_t<float> p;
    if (probabilities) p = py::array_t<float>({v.depth, v.height, v.width, K});
    float* const out = probabilities ? p.mutable_data() : nullptr;
    SeeSlice see;
    if (probabilities)
      see = [&](int64_t z, const std::vector<double>& of_slice) {
        std::copy(of_slice.begin(), of_slice.end(), out + z * int64_t(of_slice.size()));
      };
    const Segmentation s = [&] {
      const py::gil_scoped_release others_may_run;
      return segment(Ensemble{{&model_->unet, &model_->weights}}, v, o, Arena("prediction"), see);
    }();
    if (probabilities) return p;
    py::array_t<uint8_t> classes({v.depth, v.height, v.width});
    std::copy(s.classes.begin(), s.classes.end(), classes.mutable_data());
    return classes;
  }

 private:
  Arena arena_{"weights"};
  std::unique_ptr<Model> model_;
};

}  // namespace

PYBIND11_MODULE(_patchcl, m) {
  py::register_exception<Error>(m, "Error");
  m.def("set_threads", [](int n) { set_threads(n > 0 ? n : int(std::thread::hardware_concurrency())); },
      "CPU threads of predictions; 0: all cores");
  py::class_<Network>(m, "Network")
      .def(py::init<const std::string&>())
      .def("predict", &Network::predict)
      .def_property_readonly("class_names", [](const Network& n) { return n.info().class_names; })
      .def_property_readonly("classes", [](const Network& n) { return n.info().classes_without_border(); })
      .def_property_readonly("channels", [](const Network& n) { return n.info().unet.in_channels; })
      .def_property_readonly("size", [](const Network& n) { return n.info().size; })
      .def_property_readonly("iteration", [](const Network& n) { return n.info().iteration; });
}
