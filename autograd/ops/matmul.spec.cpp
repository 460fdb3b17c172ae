#include "autograd/ops/matmul.h"
#include "autograd/spec.h"

namespace patchcl {
namespace {

OpCase make(int64_t m, int64_t n, int64_t k, bool ta, bool tb) {
  std::ostringstream label;
  label << m << 'x' << k << (ta ? " transposed" : "") << " times " << k << 'x' << n
        << (tb ? " transposed" : "");
  const Shape a = ta ? Shape{k, m} : Shape{m, k}, b = tb ? Shape{n, k} : Shape{k, n};
  return {label.str(), std::make_shared<Matmul>(ta, tb), {{a}, {b}}, [=](auto& x) {
            std::vector<double> y(size_t(m * n));  // a sum of outer products
            for (int64_t l = 0; l < k; ++l)
              for (int64_t i = 0; i < m; ++i)
                for (int64_t j = 0; j < n; ++j)
                  y[size_t(i * n + j)] +=
                      x[0][size_t(ta ? l * m + i : i * k + l)] * x[1][size_t(tb ? j * k + l : l * n + j)];
            return y;
          }};
}

AddSpec spec{{"matmul", {make(3, 5, 7, false, false), make(3, 5, 7, true, false), make(3, 5, 7, false, true),
                            make(3, 5, 7, true, true), make(1, 9, 4, false, true),
                            make(11, 1, 1, false, false), make(101, 3, 33, false, false)}}};

}  // namespace
}  // namespace patchcl
