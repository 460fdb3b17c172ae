#include <cmath>

#include "autograd/ops/l2_normalize.h"
#include "autograd/spec.h"

namespace patchcl {
namespace {

OpCase make(const Shape& shape, double eps) {
  std::ostringstream label;
  label << shape << " eps " << eps;
  return {label.str(), std::make_shared<L2Normalize>(eps), {{shape}}, [=](auto& x) {
            std::vector<double> y;
            const size_t length = size_t(shape[-1]);
            for (size_t i = 0; i < x[0].size(); ++i) {
              double norm = std::sqrt(eps);
              for (size_t j = i / length * length; j < (i / length + 1) * length; ++j)
                norm = std::hypot(norm, x[0][j]);
              y.push_back(x[0][i] / norm);
            }
            return y;
          }};
}

// With one channel and a tiny eps the true gradient vanishes, hence the large one there.
AddSpec spec{{"l2_normalize",
    {make({5, 7}, 1e-12), make({2, 3, 5, 4}, 0.1), make({1, 33}, 1e-12), make({1, 3, 3, 1}, 0.5)}}};

}  // namespace
}  // namespace patchcl
