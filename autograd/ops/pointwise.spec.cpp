#include <cmath>

#include "autograd/ops/pointwise.h"
#include "autograd/spec.h"

namespace patchcl {
namespace {

template <class F> OpSpec pointwise(F f, Draw draw, double (*reference)(double)) {
  OpSpec spec{F::name, {}};
  for (Shape shape : {Shape{2, 3, 5, 4}, Shape{1, 7, 1, 1}, Shape{33}})
    spec.cases.push_back(
        {shape.str(), std::make_shared<Pointwise<F>>(f), {{shape, draw}}, [reference](auto& x) {
           std::vector<double> y;
           for (double v : x[0]) y.push_back(reference(v));
           return y;
         }});
  return spec;
}

AddSpec leaky{pointwise(
    LeakyRelu{0.2}, draw::away_from(0), [](double x) { return std::fmax(x, 0) + 0.2 * std::fmin(x, 0); })};
AddSpec rectifier{pointwise(Relu{}, draw::away_from(0), [](double x) { return (x + std::fabs(x)) / 2; })};
AddSpec logistic{
    pointwise(Sigmoid{}, draw::normal(2), [](double x) { return 0.5 * (1 + std::tanh(x / 2)); })};
AddSpec line{pointwise(Affine{-1.5, 0.25}, draw::normal(), [](double x) { return 0.25 - 1.5 * x; })};

}  // namespace
}  // namespace patchcl
