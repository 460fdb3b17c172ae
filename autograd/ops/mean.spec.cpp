#include "autograd/ops/mean.h"
#include "autograd/spec.h"

namespace patchcl {
namespace {

OpSpec mean_of_all() {
  OpSpec spec{"mean", {}};
  // All of one sign: a sum that nearly cancels has no relative accuracy to test.
  for (Shape shape :
      {Shape{2, 3, 5, 4}, Shape{1, 7, 1, 1}, Shape{131, 127}})  // the last is more than one chunk
    spec.cases.push_back(
        {shape.str(), std::make_shared<Mean>(), {{shape, draw::uniform(0.5, 2)}}, [](auto& x) {
           long double s = 0;
           for (size_t i = x[0].size(); i-- > 0;) s += x[0][i];
           return std::vector<double>{double(s / (long double)(x[0].size()))};
         }});
  return spec;
}

AddSpec average{mean_of_all()};

}  // namespace
}  // namespace patchcl
