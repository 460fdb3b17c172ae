#include "data/layouts/phantom.h"

#include <algorithm>
#include <cmath>

#include "data/class_names.h"
#include "data/layouts/phantom_anatomy.h"
#include "tensor/error.h"
#include "tensor/text.h"

namespace patchcl {

using namespace phantom;

namespace {
constexpr uint32_t kAnatomySite = 0xD00000, kNoiseSite = 0xD00001;
constexpr int64_t kFirstValidationCase = 1000000;  // the same ones for any number of training cases

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
  const double mm = 160.0 / double(o.size);
  Grid g{.depth = o.slices,
      .height = o.size,
      .width = o.size,
      .values = {},
      .spacing = {10, mm, mm},
      .spacing_known = true,
      .palette = {},
      .frames = {}};
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
  TextIn list(spec.substr(std::min(spec.size(), std::string("phantom:").size())));
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
  layout.class_names = kAcdcClasses;
  for (int64_t i = 0; i < o.cases; ++i) layout.train.push_back(phantom_source(o, i, numbered("phantom", i)));
  for (int64_t i = 0; i < o.validation; ++i)
    layout.validation.push_back(phantom_source(o, kFirstValidationCase + i, numbered("phantom_val", i)));
  return layout;
}

}  // namespace patchcl
