#include "autograd/spec.h"
#include "losses/dice.h"

namespace patchcl {
namespace {

OpCase make(const Shape& probabilities, const Shape& labels, bool weighted, double smooth = kDiceSmooth) {
  const size_t classes = size_t(probabilities[-1]);
  OpCase c{probabilities.str() + (weighted ? " weighted" : ""), std::make_shared<Dice>(smooth),
      {{probabilities, draw::uniform(0.05, 0.95)}, {labels, draw::integers(probabilities[-1]), DType::u8}},
      [=](auto& x) {
        double overlap = 0;
        for (size_t k = 0; k < classes; ++k) {
          double pg = 0, pp = 0, gg = 0;  // with the one-hot label written out
          for (size_t i = 0; i < x[1].size(); ++i) {
            const double w = weighted ? x[2][i] : 1, p = x[0][i * classes + k], g = x[1][i] == double(k);
            pg += w * p * g;
            pp += w * p * p;
            gg += w * g * g;
          }
          overlap += (2 * pg + smooth) / (pp + gg + smooth);
        }
        return std::vector<double>{1 - overlap / double(classes)};
      }};
  if (weighted) c.inputs.push_back({labels, draw::uniform(0, 2)});
  return c;
}

AddSpec spec{{"dice", {make({2, 5, 7, 4}, {2, 5, 7}, false), make({1, 3, 11, 3}, {1, 3, 11}, true),
                          make({3, 5, 7, 2}, {3, 5, 7}, true), make({1, 3, 3, 1}, {1, 3, 3}, false),
                          make({2, 3, 5, 3}, {2, 3, 5}, true, 0.7)}}};

}  // namespace
}  // namespace patchcl
