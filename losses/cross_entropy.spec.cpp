#include <cmath>

#include "autograd/spec.h"
#include "losses/cross_entropy.h"

namespace patchcl {
namespace {

OpCase make(const Shape& logits, const Shape& labels, bool weighted, double border_weight = 0) {
  const size_t classes = size_t(logits[-1]);
  OpCase c{logits.str() + (weighted ? " weighted" : "") + (border_weight > 0 ? " border" : ""),
      std::make_shared<CrossEntropy>(border_weight),
      {{logits, draw::normal(2)}, {labels, draw::integers(logits[-1]), DType::u8}}, [=](auto& x) {
        double loss = 0;
        for (size_t p = 0; p < x[1].size(); ++p) {
          double s = 0;  // 1 / the probability of the label
          for (size_t k = 0; k < classes; ++k)
            s += std::exp(x[0][p * classes + k] - x[0][p * classes + size_t(x[1][p])]);
          const double on_border = size_t(x[1][p]) == classes - 1 ? border_weight : 0;
          loss += (weighted ? x[2][p] : 1) * (1 + on_border) * std::log(s);
        }
        return std::vector<double>{loss / double(x[1].size())};
      }};
  if (weighted) c.inputs.push_back({labels, draw::uniform(0, 2)});
  return c;
}

AddSpec spec{{"cross_entropy",
    {make({2, 5, 7, 4}, {2, 5, 7}, false), make({1, 3, 11, 3}, {1, 3, 11}, true),
        make({3, 5, 7, 2}, {3, 5, 7}, true), make({19, 37}, {19}, false),
        make({2, 5, 7, 3}, {2, 5, 7}, false, 4), make({2, 5, 7, 3}, {2, 5, 7}, true, 0.5)}}};

}  // namespace
}  // namespace patchcl
