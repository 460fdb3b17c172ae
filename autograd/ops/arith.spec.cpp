#include "autograd/ops/arith.h"
#include "autograd/spec.h"

namespace patchcl {
namespace {

const Shape kShapes[] = {{2, 3, 5, 4}, {1, 7, 1, 1}, {33}};

OpSpec addition() {
  OpSpec spec{"add", {}};
  for (const Shape& shape : kShapes)
    spec.cases.push_back({shape.str(), std::make_shared<Add>(), {{shape}, {shape}}, [](auto& x) {
                            std::vector<double> y = x[0];
                            for (size_t i = 0; i < y.size(); ++i) y[i] += x[1][i];
                            return y;
                          }});
  return spec;
}

OpSpec scaling() {
  OpSpec spec{"scale", {}};
  for (const Shape& shape : kShapes)
    spec.cases.push_back({shape.str(), std::make_shared<Scale>(), {{shape}, {{1}}}, [](auto& x) {
                            std::vector<double> y = x[0];
                            for (double& v : y) v *= x[1][0];
                            return y;
                          }});
  return spec;
}

AddSpec sum{addition()};
AddSpec scaled{scaling()};

}  // namespace
}  // namespace patchcl
