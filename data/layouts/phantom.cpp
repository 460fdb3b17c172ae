#include "data/layouts/phantom.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <sstream>

#include "tensor/error.h"
#include "tensor/random.h"

namespace patchcl {

namespace {
constexpr uint32_t kAnatomySite = 0xD00000, kNoiseSite = 0xD00001;
constexpr int64_t kFirstValidationCase =
    1000000;  // so that the validation cases do not depend on the training cases
constexpr double kPi = 3.14159265358979323846;
enum Label : uint8_t { background, rv, myo, lv };

// Image coordinates run from -1 to 1 along both axes.
struct Point {
  double x, y;
};

// An ellipse with semi-axes a, b turned by `angle`, its outline disturbed by a third harmonic.
struct Blob {
  Point center;
  double a = 1, b = 1, angle = 0, bump = 0, phase = 0;
  double c = std::cos(angle), s = std::sin(angle);
  // 0 at the centre, 1 on the outline, growing outwards. The bump is left out where it cannot move a point
  // over any level that is asked for (0.8 to 1.15): most points are far from most outlines, and the angle is
  // dear.
  double level(Point p) const {
    const double dx = p.x - center.x, dy = p.y - center.y;
    const double u = (c * dx + s * dy) / a, v = (c * dy - s * dx) / b;
    const double r = std::sqrt(u * u + v * v);
    return bump == 0 || r < 0.7 || r > 1.3 ? r : r / (1 + bump * std::cos(3 * std::atan2(v, u) + phase));
  }
  bool holds(Point p) const { return level(p) < 1; }
};

// Slow random waves: texture of a tissue, or the bias of the coil.
struct Waves {
  struct Wave {
    double kx, ky, phase, amplitude;
  };
  std::array<Wave, 5> waves;
  double at(Point p) const {
    double sum = 0;
    for (const Wave& w : waves) sum += w.amplitude * std::cos(w.kx * p.x + w.ky * p.y + w.phase);
    return sum;
  }
};

Waves draw_waves(Rng& rng, double frequency, double amplitude) {
  Waves all;
  for (auto& w : all.waves)
    w = {rng.uniform(-1, 1) * frequency, rng.uniform(-1, 1) * frequency, rng.uniform(0, 2 * kPi),
        amplitude * rng.uniform(0.3, 1)};
  return all;
}

// All that distinguishes one case from another. Lengths are fractions of half the image.
struct Anatomy {
  Point heart, drift;  // position at mid-height, and how far the long axis leans across the slices
  double radius, wall, oval, oval_angle, bump, bump_phase;
  double septum;  // direction from the left to the right ventricle
  double rv_distance, rv_depth, rv_width;
  double base, apex, rv_apex;  // heights along the long axis, 0 the first slice, 1 the last
  double blood, rv_blood, muscle, fat, lung, liver, body;
  double papillary;  // direction of the first of two muscles within the cavity
  std::array<Blob, 2> lungs;
  Blob thorax, liver_blob, stomach, spine, aorta, atrium;
  std::array<Blob, 6> vessels;
  Waves texture, bias;
  double gamma, blur, noise;
};

Anatomy draw_anatomy(Rng rng) {
  Anatomy a;
  const auto u = [&](double lo, double hi) { return rng.uniform(lo, hi); };
  a.heart = {u(-0.22, 0.22), u(-0.22, 0.22)};
  a.drift = {u(-0.12, 0.12), u(-0.12, 0.12)};
  a.radius = u(0.19, 0.33);
  a.wall = a.radius * u(0.24, 0.42);
  a.oval = u(0.88, 1.14);
  a.oval_angle = u(0, kPi);
  a.bump = u(0, 0.06);
  a.bump_phase = u(0, 2 * kPi);
  a.septum = kPi + u(-0.8, 0.8);
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
  a.papillary = u(0, 2 * kPi);
  a.thorax = {{u(-0.1, 0.1), u(-0.05, 0.15)}, u(1.05, 1.35), u(0.85, 1.1), u(-0.1, 0.1), 0.04, u(0, 2 * kPi)};
  a.lungs[0] = {{a.heart.x - u(0.55, 0.75), u(-0.2, 0.3)}, u(0.3, 0.45), u(0.45, 0.7), u(-0.3, 0.3), 0.1,
      u(0, 2 * kPi)};
  a.lungs[1] = {{a.heart.x + u(0.50, 0.70), u(-0.2, 0.3)}, u(0.25, 0.4), u(0.45, 0.7), u(-0.3, 0.3), 0.1,
      u(0, 2 * kPi)};
  a.liver_blob = {{a.heart.x - u(0.3, 0.6), a.heart.y + u(0.5, 0.8)}, u(0.4, 0.7), u(0.25, 0.4), u(-0.4, 0.4),
      0.08, u(0, 2 * kPi)};
  a.stomach = {{a.heart.x + u(0.3, 0.6), a.heart.y + u(0.5, 0.7)}, u(0.15, 0.3), u(0.12, 0.25), u(0, kPi),
      0.1, u(0, 2 * kPi)};
  a.spine = {{u(-0.1, 0.1), u(0.75, 0.9)}, u(0.12, 0.18), u(0.12, 0.16), 0, 0.1, u(0, 2 * kPi)};
  a.aorta = {{a.spine.center.x + u(0.15, 0.35), u(0.5, 0.7)}, u(0.08, 0.12), u(0.08, 0.12), 0};
  a.atrium = {{a.heart.x + u(-0.1, 0.3), a.heart.y + u(0.15, 0.35)}, u(0.15, 0.28), u(0.12, 0.22), u(0, kPi),
      0.08, u(0, 2 * kPi)};
  for (Blob& v : a.vessels) {
    const double r = u(0.015, 0.05);
    v = {{a.lungs[rng.below(2)].center.x + u(-0.2, 0.2), u(-0.4, 0.5)}, r, r * u(0.8, 2), u(0, kPi)};
  }
  a.texture = draw_waves(rng, 25, 0.025);
  a.bias = draw_waves(rng, 2.2, 0.16);
  a.gamma = u(0.7, 1.5);
  a.blur = u(0.35, 0.9);
  a.noise = u(0.02, 0.07);
  return a;
}

// The heart as one slice cuts it, at height t along the long axis.
struct HeartSlice {
  Blob epicardium, endocardium, rv;
  std::array<Blob, 2> papillary;
  bool ventricle, cavity, right;  // which of them this slice meets
  bool above_base;                // atria and vessels instead: blood without a label
};

// Height of a paraboloid-like chamber: 1 at the base, 0 at its apex and beyond.
double chamber_profile(double t, double apex) {
  return std::sqrt(std::max(0.0, 1 - std::pow(std::max(t, 0.0) / apex, 2)));
}

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
  h.epicardium = {
      c, std::max(outer, 1e-3) * a.oval, std::max(outer, 1e-3) / a.oval, a.oval_angle, a.bump, a.bump_phase};
  h.endocardium = {
      c, std::max(inner, 1e-3) * a.oval, std::max(inner, 1e-3) / a.oval, a.oval_angle, a.bump, a.bump_phase};
  h.rv = {{c.x + distance * std::cos(a.septum), c.y + distance * std::sin(a.septum)},
      std::max(right * a.rv_depth, 1e-3), std::max(right * a.rv_width, 1e-3), a.septum, 0.05, a.bump_phase};
  for (int i = 0; i < 2; ++i) {
    const double direction = a.papillary + (i ? 2.2 : 0), r = std::max(inner, 1e-3);
    h.papillary[size_t(i)] = {{c.x + 0.6 * r * std::cos(direction), c.y + 0.6 * r * std::sin(direction)},
        0.2 * r, 0.15 * r, direction};
  }
  return h;
}

struct Sample {
  double value;
  Label label;
};

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

// Where pixel coordinate i (its centre at +0.5) lies between -1 and 1.
double across(double i, int64_t size) { return 2 * i / double(size) - 1; }

// Mean over 2x2 points per pixel.
void render(const Anatomy& a, const HeartSlice& h, int64_t size, double* image) {
  for (int64_t y = 0; y < size; ++y)
    for (int64_t x = 0; x < size; ++x) {
      double sum = 0;
      for (const double dy : {0.25, 0.75})
        for (const double dx : {0.25, 0.75})
          sum += sample(a, h, {across(double(x) + dx, size), across(double(y) + dy, size)}).value;
      const Point center{across(double(x) + 0.5, size), across(double(y) + 0.5, size)};
      *image++ = std::pow(sum / 4, a.gamma) * std::exp(a.bias.at(center));
    }
}

// The label at a pixel's centre.
void render_label(const Anatomy& a, const HeartSlice& h, int64_t size, double* label) {
  for (int64_t y = 0; y < size; ++y)
    for (int64_t x = 0; x < size; ++x)
      *label++ = sample(a, h, {across(double(x) + 0.5, size), across(double(y) + 0.5, size)}).label;
}

// Separable Gaussian of `sigma` pixels, borders repeated.
void blur(double* image, int64_t size, double sigma) {
  const int64_t reach = std::max<int64_t>(1, int64_t(std::ceil(2.5 * sigma)));
  std::vector<double> weight, line(static_cast<size_t>(size));
  double total = 0;
  for (int64_t d = -reach; d <= reach; ++d) {
    weight.push_back(std::exp(-0.5 * double(d * d) / (sigma * sigma)));
    total += weight.back();
  }
  for (const int64_t step : {int64_t(1), size})
    for (int64_t i = 0; i < size; ++i) {
      double* v = image + i * (step == 1 ? size : 1);
      for (int64_t j = 0; j < size; ++j) {
        line[size_t(j)] = 0;
        for (int64_t d = -reach; d <= reach; ++d)
          line[size_t(j)] +=
              weight[size_t(d + reach)] / total * v[std::clamp<int64_t>(j + d, 0, size - 1) * step];
      }
      for (int64_t j = 0; j < size; ++j) v[j * step] = line[size_t(j)];
    }
}

Anatomy anatomy_of(const PhantomOptions& o, int64_t i) {
  return draw_anatomy(Rng(o.seed, uint64_t(i), kAnatomySite));
}

// Height of slice z along the long axis.
double height_of(const PhantomOptions& o, int64_t z) {
  return o.slices > 1 ? double(z) / double(o.slices - 1) : 0.4;
}

Grid empty_grid(const PhantomOptions& o) {
  Grid g;
  g.depth = o.slices;
  g.height = g.width = o.size;
  g.spacing = {10, 160.0 / double(o.size), 160.0 / double(o.size)};
  g.values.resize(size_t(g.numel()));
  return g;
}

// As a scanner stores them: whole numbers, here of 12 bits.
void quantise(Grid& g) {
  set_range_to_extremes(g);
  const double scale = 4095 / g.high;
  for (double& v : g.values) v = std::round(v * scale);
  set_range_to_extremes(g);
}

Source phantom_source(const PhantomOptions& o, int64_t i, const std::string& id) {
  Source s;
  s.id = s.group = s.path = s.label_path = id;
  s.depth = o.slices;
  s.height = s.width = o.size;
  s.image = [o, i] { return phantom_image(o, i); };
  s.label = [o, i] { return phantom_label(o, i); };
  return s;
}

std::string numbered(const char* prefix, int64_t i) {
  std::string n = std::to_string(i);
  return prefix + std::string(n.size() < 3 ? 3 - n.size() : 0, '0') + n;
}
}  // namespace

PhantomOptions parse_phantom(const std::string& spec) {
  PhantomOptions o;
  int64_t seed = int64_t(o.seed);
  const std::pair<const char*, int64_t*> keys[] = {
      {"cases", &o.cases}, {"val", &o.validation}, {"size", &o.size}, {"slices", &o.slices}, {"seed", &seed}};
  std::istringstream list(spec.substr(std::min(spec.size(), std::string("phantom:").size())));
  for (std::string entry; std::getline(list, entry, ',');) {
    const size_t equal = entry.find('=');
    const auto key = std::find_if(
        std::begin(keys), std::end(keys), [&](const auto& k) { return entry.substr(0, equal) == k.first; });
    const std::string value = equal == std::string::npos ? "" : entry.substr(equal + 1);
    if (key == std::end(keys) || value.empty() || value.size() > 9 ||
        value.find_first_not_of("0123456789") != std::string::npos)
      fail(ExitCode::usage, "phantom", "'", entry, "' in '", spec,
          "'; wants cases=, val=, size=, slices= or seed= and a number");
    *key->second = std::stoll(value);
  }
  o.seed = uint64_t(seed);
  if (o.cases < 1 || o.validation < 1 || o.slices < 1 || o.size < 16 || o.size > 1024)
    fail(ExitCode::usage, "phantom", "'", spec,
        "' wants cases, val and slices of at least 1 and a size of 16 to 1024");
  return o;
}

Grid phantom_image(const PhantomOptions& o, int64_t i) {
  const Anatomy a = anatomy_of(o, i);
  Grid g = empty_grid(o);
  const int64_t pixels = o.size * o.size;
  for (int64_t z = 0; z < o.slices; ++z) {
    double* slice = &g.values[size_t(z * pixels)];
    render(a, cut_heart(a, height_of(o, z)), o.size, slice);
    blur(slice, o.size, a.blur * double(o.size) / 96);
  }
  Rng noise(o.seed, uint64_t(i), kNoiseSite);
  for (double& v : g.values) {  // magnitude of a complex signal: Rician noise
    const double real = v + a.noise * noise.normal(), imaginary = a.noise * noise.normal();
    v = std::sqrt(real * real + imaginary * imaginary);
  }
  quantise(g);
  return g;
}

Grid phantom_label(const PhantomOptions& o, int64_t i) {
  const Anatomy a = anatomy_of(o, i);
  Grid g = empty_grid(o);
  for (int64_t z = 0; z < o.slices; ++z)
    render_label(a, cut_heart(a, height_of(o, z)), o.size, &g.values[size_t(z * o.size * o.size)]);
  return g;
}

Layout phantom_layout(const PhantomOptions& o) {
  Layout layout;
  layout.name = "phantom";
  layout.class_names = {"background", "RV", "Myo", "LV"};
  for (int64_t i = 0; i < o.cases; ++i) layout.train.push_back(phantom_source(o, i, numbered("phantom", i)));
  for (int64_t i = 0; i < o.validation; ++i)
    layout.validation.push_back(phantom_source(o, kFirstValidationCase + i, numbered("phantom_val", i)));
  return layout;
}

}  // namespace patchcl
