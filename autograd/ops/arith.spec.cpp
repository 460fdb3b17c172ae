#include "autograd/ops/arith.h"
#include "autograd/spec.h"

namespace patchcl {
namespace {

const Shape kShapes[] = {{2, 3, 5, 4}, {1, 7, 1, 1}, {33}};

template <class F>
OpSpec binary(double (*reference)(double, double)) {
  OpSpec spec{F::name, {}};
  for (const Shape& shape : kShapes)
    spec.cases.push_back(
        {shape.str(), std::make_shared<Binary<F>>(), {{shape}, {shape}}, [reference](auto& x) {
           std::vector<double> y;
           for (size_t i = 0; i < x[0].size(); ++i) y.push_back(reference(x[0][i], x[1][i]));
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

AddSpec sum{binary<Add>([](double a, double b) { return a + b; })};
AddSpec difference{binary<Sub>([](double a, double b) { return a - b; })};
AddSpec product{binary<Mul>([](double a, double b) { return a * b; })};
AddSpec scaled{scaling()};

}  // namespace
}  // namespace patchcl
