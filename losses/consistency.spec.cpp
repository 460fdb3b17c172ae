#include "autograd/spec.h"
#include "losses/consistency.h"

namespace patchcl {
namespace {

OpCase make(const Shape& shape, const Shape& weight) {
  const size_t channels = size_t(shape[-1]);
  OpCase c{shape.str() + (weight.rank() ? " weighted" : ""), std::make_shared<MeanSquaredError>(),
      {{shape}, {shape}}, [=](auto& x) {
        double s = 0;
        for (size_t i = 0; i < x[0].size(); ++i) {
          const double w = weight.rank() ? x[2][i / channels] : 1, p = x[0][i], t = x[1][i];
          s += w * (p * p - 2 * p * t + t * t);
        }
        return std::vector<double>{s / double(x[0].size())};
      }};
  if (weight.rank()) c.inputs.push_back({weight, draw::uniform(0, 2)});
  return c;
}

AddSpec spec{{"mean_squared_error",
    {make({2, 5, 7, 4}, {}), make({1, 3, 11, 3}, {1, 3, 11}), make({3, 7, 1}, {3, 7}), make({13, 5}, {})}}};

}  // namespace
}  // namespace patchcl
