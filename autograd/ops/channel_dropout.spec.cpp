#include "autograd/ops/channel_dropout.h"

#include "autograd/spec.h"

namespace patchcl {
namespace {

// The map's number picks one word of one Philox block.
OpCase make(const Shape& s, double p, uint32_t site, double seed, double step) {
  return {s.str(), std::make_shared<ChannelDropout>(DropoutSite{p, site}),
      {{s}, {{2}, draw::values({seed, step}), DType::i64}}, [=](const std::vector<std::vector<double>>& x) {
        std::vector<double> y = x[0];
        for (int64_t e = 0; e < s.numel(); ++e) {
          const Shape at = s.position(e);
          const uint32_t map = uint32_t(at[0] * s[3] + at[3]);
          const Philox4 words = philox(uint64_t(seed), map / 4, site << 8, uint32_t(step), 0);
          const bool kept = double(words.v[map % 4]) >= p * 4294967296.0;
          y[size_t(e)] = kept ? x[0][size_t(e)] / (1 - p) : 0;
        }
        return y;
      }};
}

AddSpec spec{{"channel_dropout", {make({3, 4, 5, 6}, 0.5, 4, 11, 3), make({2, 3, 3, 5}, 0.3, 0, 1337, 29999),
                                     make({1, 1, 2, 9}, 0.7, 9, 1, 0), make({2, 2, 2, 3}, 0, 5, 2, 7)}}};

}  // namespace
}  // namespace patchcl
