#include "autograd/spec.h"

#include <algorithm>

namespace patchcl {

std::vector<OpSpec>& specs() {
  static std::vector<OpSpec> all;
  return all;
}

namespace draw {
namespace {
template <class F> Draw each(F f) {
  return [f](const Shape& s, Rng& rng) {
    std::vector<double> v(size_t(s.numel()));
    for (double& e : v) e = f(rng);
    return v;
  };
}
}  // namespace
Draw normal(double scale) {
  return each([=](Rng& r) { return scale * r.normal(); });
}
Draw uniform(double lo, double hi) {
  return each([=](Rng& r) { return r.uniform(lo, hi); });
}
Draw away_from(double kink, double margin) {
  return each([=](Rng& r) {
    const double u = r.normal();
    return kink + u + (u >= 0 ? margin : -margin);
  });
}
Draw integers(int64_t n) {
  return each([=](Rng& r) { return double(r.below(n)); });
}
Draw bits(double p) {
  return each([=](Rng& r) { return r.uniform() < p ? 1. : 0.; });
}
Draw values(std::vector<double> list) {
  return [list](const Shape& s, Rng&) {
    std::vector<double> v(size_t(s.numel()));
    for (size_t i = 0; i < v.size(); ++i) v[i] = list[i % list.size()];
    return v;
  };
}
Draw distinct(double gap) {
  return [gap](const Shape& s, Rng& rng) {
    std::vector<double> v(size_t(s.numel()));
    for (size_t i = 0; i < v.size(); ++i) v[i] = gap * (double(i) - double(v.size()) / 2);
    for (size_t i = v.size(); i > 1; --i) std::swap(v[i - 1], v[size_t(rng.below(int64_t(i)))]);
    return v;
  };
}
}  // namespace draw

}  // namespace patchcl
