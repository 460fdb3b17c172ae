#include "autograd/ops/reduce.h"
#include "autograd/spec.h"

namespace patchcl {
namespace {

OpSpec reduction(Reduction kind, const char* name) {
  OpSpec spec{name, {}};
  // All of one sign: a sum that nearly cancels has no relative accuracy to test.
  for (Shape shape :
      {Shape{2, 3, 5, 4}, Shape{1, 7, 1, 1}, Shape{131, 127}})  // the last is more than one chunk
    spec.cases.push_back(
        {shape.str(), std::make_shared<Reduce>(kind), {{shape, draw::uniform(0.5, 2)}}, [kind](auto& x) {
           long double s = 0;
           for (size_t i = x[0].size(); i-- > 0;) s += x[0][i];
           if (kind == Reduction::mean) s /= (long double)(x[0].size());
           return std::vector<double>{double(s)};
         }});
  return spec;
}

AddSpec total{reduction(Reduction::sum, "sum")};
AddSpec average{reduction(Reduction::mean, "mean")};

}  // namespace
}  // namespace patchcl
