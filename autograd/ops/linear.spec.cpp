#include "autograd/ops/linear.h"
#include "autograd/spec.h"

namespace patchcl {
namespace {

OpCase make(int64_t n, int64_t in, int64_t out, bool bias) {
  std::ostringstream label;
  label << n << " rows, " << in << " to " << out << (bias ? "" : ", no bias");
  OpCase c{label.str(), std::make_shared<Linear>(), {{{n, in}}, {{in, out}}}, [=](auto& x) {
             std::vector<double> y;
             for (int64_t i = 0; i < n; ++i)
               for (int64_t o = 0; o < out; ++o) {
                 double s = bias ? x[2][size_t(o)] : 0;
                 for (int64_t j = in - 1; j >= 0; --j)
                   s += x[1][size_t(j * out + o)] * x[0][size_t(i * in + j)];
                 y.push_back(s);
               }
             return y;
           }};
  if (bias) c.inputs.push_back({{out}});
  return c;
}

AddSpec spec{
    {"linear", {make(5, 7, 3, true), make(1, 13, 5, true), make(9, 1, 1, true), make(5, 6, 11, false)}}};

}  // namespace
}  // namespace patchcl
