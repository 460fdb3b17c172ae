#include "autograd/ops/dropout.h"
#include "autograd/spec.h"

namespace patchcl {
namespace {

// One random number per element, one at a time.
OpCase make(
    const std::string& label, const Shape& shape, double p, uint32_t site, int64_t seed, int64_t step) {
  return {label, std::make_shared<Dropout>(DropoutSite{p, site}),
      {{shape}, {{2}, draw::values({double(seed), double(step)}), DType::i64}}, [=](auto& in) {
        std::vector<double> y;
        for (size_t i = 0; i < in[0].size(); ++i)
          y.push_back(random_bits(uint64_t(seed), uint64_t(step), site, i) / 4294967296.0 < p
                          ? 0
                          : in[0][i] / (1 - p));
        return y;
      }};
}

AddSpec spec{{"dropout",
    {make("odd size", {2, 3, 5, 3}, 0.3, 7, 1337, 12), make("one channel", {1, 5, 1, 1}, 0.5, 0, 1, 0),
        make("several words", {3, 5, 7, 16}, 0.05, 3, 42, int64_t(1) << 40),
        make("p = 0", {9}, 0, 1, 2, 3)}}};

}  // namespace
}  // namespace patchcl
