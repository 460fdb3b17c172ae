#include "data/layouts/phantom_anatomy.h"

#include <algorithm>
#include <numbers>

namespace patchcl::phantom {

namespace {

using std::numbers::pi;

Waves draw_waves(Rng& rng, double frequency, double amplitude) {
  Waves all;
  for (auto& w : all.waves)
    w = {rng.uniform(-1, 1) * frequency, rng.uniform(-1, 1) * frequency, rng.uniform(0, 2 * pi),
        amplitude * rng.uniform(0.3, 1)};
  return all;
}

}  // namespace

Anatomy draw_anatomy(Rng rng) {
  Anatomy a;
  const auto u = [&](double lo, double hi) { return rng.uniform(lo, hi); };
  a.heart = {u(-0.22, 0.22), u(-0.22, 0.22)};
  a.drift = {u(-0.12, 0.12), u(-0.12, 0.12)};
  a.radius = u(0.19, 0.33);
  a.wall = a.radius * u(0.24, 0.42);
  a.oval = u(0.88, 1.14);
  a.oval_angle = u(0, pi);
  a.bump = u(0, 0.06);
  a.bump_phase = u(0, 2 * pi);
  a.septum = pi + u(-0.8, 0.8);
  a.rv_distance = u(0.80, 1.10);
  a.rv_depth = u(0.75, 1.05);
  a.rv_width = u(1.0, 1.4);
  a.base = u(-0.15, 0.16);
  a.apex = u(0.95, 1.30);
  a.rv_apex = a.apex * u(0.70, 0.95);
  a.blood = u(0.60, 0.95);
  a.rv_blood = a.blood * u(0.80, 1.10);
  a.muscle = a.blood * u(0.30, 0.68);
  a.fat = u(0.45, 1.0);
  a.lung = u(0.03, 0.18);
  a.liver = a.muscle * u(0.75, 1.4);
  a.body = a.muscle * u(0.70, 1.3);
  a.papillary = u(0, 2 * pi);
  a.thorax = {{u(-0.1, 0.1), u(-0.05, 0.15)}, u(1.05, 1.35), u(0.85, 1.1), u(-0.1, 0.1), 0.04, u(0, 2 * pi)};
  a.lungs[0] = {
      {a.heart.x - u(0.55, 0.75), u(-0.2, 0.3)}, u(0.3, 0.45), u(0.45, 0.7), u(-0.3, 0.3), 0.1, u(0, 2 * pi)};
  a.lungs[1] = {
      {a.heart.x + u(0.50, 0.70), u(-0.2, 0.3)}, u(0.25, 0.4), u(0.45, 0.7), u(-0.3, 0.3), 0.1, u(0, 2 * pi)};
  a.liver_blob = {{a.heart.x - u(0.3, 0.6), a.heart.y + u(0.5, 0.8)}, u(0.4, 0.7), u(0.25, 0.4), u(-0.4, 0.4),
      0.08, u(0, 2 * pi)};
  a.stomach = {{a.heart.x + u(0.3, 0.6), a.heart.y + u(0.5, 0.7)}, u(0.15, 0.3), u(0.12, 0.25), u(0, pi), 0.1,
      u(0, 2 * pi)};
  a.spine = {{u(-0.1, 0.1), u(0.75, 0.9)}, u(0.12, 0.18), u(0.12, 0.16), 0, 0.1, u(0, 2 * pi)};
  a.aorta = {{a.spine.center.x + u(0.15, 0.35), u(0.5, 0.7)}, u(0.08, 0.12), u(0.08, 0.12), 0};
  a.atrium = {{a.heart.x + u(-0.1, 0.3), a.heart.y + u(0.15, 0.35)}, u(0.15, 0.28), u(0.12, 0.22), u(0, pi),
      0.08, u(0, 2 * pi)};
  for (Blob& v : a.vessels) {
    const double r = u(0.015, 0.05);
    v = {{a.lungs[rng.below(2)].center.x + u(-0.2, 0.2), u(-0.4, 0.5)}, r, r * u(0.8, 2), u(0, pi)};
  }
  a.texture = draw_waves(rng, 25, 0.025);
  a.bias = draw_waves(rng, 2.2, 0.16);
  a.gamma = u(0.7, 1.5);
  a.blur = u(0.35, 0.9);
  a.noise = u(0.02, 0.07);
  return a;
}

namespace {

// Height of a paraboloid-like chamber: 1 at the base, 0 at its apex and beyond.
double chamber_profile(double t, double apex) {
  return std::sqrt(std::max(0.0, 1 - std::pow(std::max(t, 0.0) / apex, 2)));
}

// Organs behind the heart, painted back to front.
double surroundings(const Anatomy& a, Point p) {
  const double rim = a.thorax.level(p);
  if (rim >= 1) return 0.02;
  double v = rim > 0.93 ? a.fat : a.body;
  for (const Blob& lung : a.lungs)
    if (lung.holds(p)) v = a.lung;
  for (const Blob& vessel : a.vessels)
    if (vessel.holds(p)) v = 0.8 * a.blood;
  if (a.liver_blob.holds(p)) v = a.liver;
  if (a.stomach.holds(p)) v = a.stomach.level(p) > 0.8 ? a.body : 0.5 * a.fat;
  if (a.spine.holds(p)) v = 0.7 * a.fat;
  if (a.aorta.holds(p)) v = a.blood;
  return v;
}

}  // namespace

HeartSlice cut_heart(const Anatomy& a, double t) {
  const Point c{a.heart.x + a.drift.x * (t - 0.5), a.heart.y + a.drift.y * (t - 0.5)};
  const double outer = a.radius * chamber_profile(t, a.apex), inner = outer - a.wall * (1 + 0.2 * t);
  const double right = a.radius * chamber_profile(t, a.rv_apex);
  const double distance = outer * a.rv_distance;
  HeartSlice h;
  h.above_base = t < a.base;
  h.ventricle = outer > 0.03;
  h.cavity = inner > 0.02;
  h.right = right > 0.08;
  const auto ring = [&](double radius) {
    const double r = std::max(radius, 1e-3);
    return Blob{c, r * a.oval, r / a.oval, a.oval_angle, a.bump, a.bump_phase};
  };
  h.epicardium = ring(outer);
  h.endocardium = ring(inner);
  h.rv = {{c.x + distance * std::cos(a.septum), c.y + distance * std::sin(a.septum)},
      std::max(right * a.rv_depth, 1e-3), std::max(right * a.rv_width, 1e-3), a.septum, 0.05, a.bump_phase};
  for (int i = 0; i < 2; ++i) {
    const double direction = a.papillary + (i ? 2.2 : 0), r = std::max(inner, 1e-3);
    h.papillary[size_t(i)] = {{c.x + 0.6 * r * std::cos(direction), c.y + 0.6 * r * std::sin(direction)},
        0.2 * r, 0.15 * r, direction};
  }
  return h;
}

Sample sample(const Anatomy& a, const HeartSlice& h, Point p) {
  Sample s{surroundings(a, p), background};
  if (h.ventricle && h.epicardium.level(p) < 1.15) s.value = 0.8 * a.fat;  // fat around the heart
  if (h.right) {
    const double level = h.rv.level(p);
    if (level < 1.10) s.value = a.muscle;
    if (level < 1) s = {a.rv_blood, rv};
  }
  if (h.above_base) {
    if (a.atrium.holds(p) || h.endocardium.holds(p)) s = {a.blood, background};
  } else if (h.ventricle && h.epicardium.holds(p)) {
    s = {a.muscle, myo};
    if (h.cavity && h.endocardium.holds(p)) {
      const bool papillary = h.papillary[0].holds(p) || h.papillary[1].holds(p);
      s = {papillary ? a.muscle : a.blood, lv};
    }
  }
  s.value *= 1 + a.texture.at(p);
  return s;
}

}  // namespace patchcl::phantom
