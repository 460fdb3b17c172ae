#include "autograd/ops/global_avg_pool.h"
#include "autograd/spec.h"

namespace patchcl {
namespace {

OpCase make(const Shape& s) {
  return {s.str(), std::make_shared<GlobalAvgPool>(), {{s}}, [s](auto& x) {
            std::vector<double> y(size_t(s[0] * s[3]));
            const size_t pixels = size_t(s[1] * s[2]), channels = size_t(s[3]);
            for (size_t i = 0; i < x[0].size(); ++i)
              y[i / (pixels * channels) * channels + i % channels] += x[0][i] / double(pixels);
            return y;
          }};
}

AddSpec spec{
    {"global_avg_pool", {make({2, 3, 5, 4}), make({1, 7, 3, 1}), make({3, 1, 1, 35}), make({1, 4, 4, 65})}}};

}  // namespace
}  // namespace patchcl
