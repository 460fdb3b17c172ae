#include <cmath>

#include "autograd/ops/softmax.h"
#include "autograd/spec.h"

namespace patchcl {
namespace {

// 1 / y_k = sum_j e^(x_j - x_k): no maximum, no quotient of sums.
template <class Row> OpSpec rows(bool log) {
  OpSpec spec{Row::name, {}};
  for (Shape shape : {Shape{2, 3, 7, 4}, Shape{1, 5, 5, 3}, Shape{37, 2}, Shape{1, 41}, Shape{3, 1}}) {
    OpCase c{shape.str(), std::make_shared<RowSoftmax<Row>>(), {{shape, draw::normal(2)}}, [=](auto& x) {
               std::vector<double> y;
               const size_t classes = size_t(shape[-1]);
               for (size_t i = 0; i < x[0].size(); ++i) {
                 double s = 0;
                 for (size_t j = i / classes * classes; j < (i / classes + 1) * classes; ++j)
                   s += std::exp(x[0][j] - x[0][i]);
                 y.push_back(log ? -std::log(s) : 1 / s);
               }
               return y;
             }};
    if (shape[-1] == 1) c.zero_gradient = 1;  // the softmax of one class is the constant 1
    spec.cases.push_back(c);
  }
  return spec;
}

AddSpec plain{rows<SoftmaxRow>(false)};
AddSpec logarithmic{rows<LogSoftmaxRow>(true)};

}  // namespace
}  // namespace patchcl
