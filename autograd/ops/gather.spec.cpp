#include "autograd/ops/gather.h"
#include "autograd/spec.h"

namespace patchcl {
namespace {

// By the product with a one-hot matrix.
OpCase make(int64_t rows, int64_t width, int64_t n) {
  std::ostringstream label;
  label << n << " of " << rows << " rows of " << width;
  return {label.str(), std::make_shared<GatherRows>(),
      {{{rows, width}}, {{n}, draw::integers(rows), DType::i32}}, [=](auto& x) {
        std::vector<double> y(size_t(n * width));
        for (int64_t i = 0; i < n; ++i)
          for (int64_t m = 0; m < rows; ++m)
            for (int64_t j = 0; j < width; ++j)
              y[size_t(i * width + j)] +=
                  (x[1][size_t(i)] == double(m) ? 1. : 0.) * x[0][size_t(m * width + j)];
        return y;
      }};
}

AddSpec spec{
    {"gather_rows", {make(7, 5, 19), make(11, 3, 4), make(5, 1, 9), make(40, 2, 33), make(1, 4, 3)}}};

}  // namespace
}  // namespace patchcl
