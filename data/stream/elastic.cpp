#include "data/stream/elastic.h"

#include <algorithm>
#include <cmath>

#include "data/resize.h"

namespace patchcl {

namespace {

// A Gaussian over `size` places as seen from each of them, outside 0: (size,size), symmetric.
std::vector<float> gaussian_matrix(int64_t size, double sigma) {
  std::vector<float> g(static_cast<size_t>(size));
  for (int64_t d = 0; d < size; ++d)
    g[size_t(d)] = float(std::exp(-0.5 * double(d * d) / (sigma * sigma)) / (sigma * std::sqrt(kFullTurn)));
  std::vector<float> matrix(static_cast<size_t>(size * size));
  for (int64_t i = 0; i < size; ++i)
    for (int64_t k = 0; k < size; ++k) matrix[size_t(i * size + k)] = g[size_t(std::abs(i - k))];
  return matrix;
}

// a b, all (size,size).
std::vector<float> product(int64_t size, const std::vector<float>& a, const std::vector<float>& b) {
  std::vector<float> c(a.size(), 0);
  for (int64_t i = 0; i < size; ++i)
    for (int64_t k = 0; k < size; ++k) {
      const float factor = a[size_t(i * size + k)];
      for (int64_t j = 0; j < size; ++j) c[size_t(i * size + j)] += factor * b[size_t(k * size + j)];
    }
  return c;
}

// u of one axis.
std::vector<float> displacement(int64_t size, double alpha, double sigma, Rng& rng) {
  std::vector<float> noise(static_cast<size_t>(size * size));
  for (float& v : noise) v = float(alpha * rng.uniform(-1, 1));
  const std::vector<float> gaussian = gaussian_matrix(size, sigma);
  return product(size, gaussian, product(size, noise, gaussian));  // EQ: 2.2 elastic deformation
}

int64_t nearer(const Between& place, int64_t size) {
  return place.share < 0.5f ? place.from : std::min(place.from + 1, size - 1);
}

double draw_scale(const WarpOptions& o, Rng& rng) {
  const bool enlarge = rng.uniform() < 0.5 && o.least_scale < 1;
  return enlarge ? rng.uniform(o.least_scale, 1) : rng.uniform(std::max(1., o.least_scale), o.most_scale);
}

}  // namespace

std::vector<float> warp_field(int64_t size, const WarpOptions& o, Rng& rng) {
  const double alpha = rng.uniform(0, o.most_alpha), sigma = rng.uniform(o.least_sigma, o.most_sigma);
  const std::vector<float> uy = displacement(size, alpha, sigma, rng),
                           ux = displacement(size, alpha, sigma, rng);
  const double angle = rng.uniform() < 0.5 ? rng.uniform(o.least_angle, o.most_angle) : 0;
  const double scale = rng.uniform() < 0.5 ? draw_scale(o, rng) : 1;
  const bool mirrored = o.mirror && rng.uniform() < 0.5;
  const double cosine = scale * std::cos(angle), sine = scale * std::sin(angle);
  const double last = double(size - 1), centre = last / 2;
  std::vector<float> field;
  field.reserve(uy.size() * 2);
  for (int64_t p = 0; p < size * size; ++p) {
    const double y = double(p / size) - centre + double(uy[size_t(p)]);
    const double x = double(p % size) - centre + double(ux[size_t(p)]);
    const double from_x = centre + (sine * y + cosine * x) * (mirrored ? -1 : 1);
    field.push_back(float(std::clamp(centre + cosine * y - sine * x, 0., last)));
    field.push_back(float(std::clamp(from_x, 0., last)));
  }
  return field;
}

void warp(int64_t size, int64_t channels, const std::vector<float>& field, float* image, uint8_t* label) {
  const std::vector<float> from(image, image + size * size * channels);
  const std::vector<uint8_t> labels(label, label ? label + size * size : label);
  for (int64_t p = 0; p < size * size; ++p) {
    const float at_y = field[size_t(2 * p)], at_x = field[size_t(2 * p + 1)];
    const Between y{int64_t(at_y), at_y - float(int64_t(at_y))},
        x{int64_t(at_x), at_x - float(int64_t(at_x))};
    for (int64_t c = 0; c < channels; ++c)
      image[p * channels + c] = bilinear_at(from.data(), size, size, channels, y, x, c);
    if (label) label[p] = labels[size_t(nearer(y, size) * size + nearer(x, size))];
  }
}

void recolour(const float* from, int64_t n, Rng rng, float* to) {
  const bool brighter = rng.uniform() < 0.5, curved = rng.uniform() < 0.5, noisy = rng.uniform() < 0.5;
  const double shift = brighter ? 0.2 * rng.normal() : 0;
  const bool below = rng.uniform() < 0.5;
  const double gamma = below ? rng.uniform(0.5, 1) : rng.uniform(1, 2), deviation = rng.uniform(0, 0.1);
  const auto [least, most] = std::minmax_element(from, from + n);
  const double low = double(*least), range = std::max(double(*most) - low, 1e-12);
  for (int64_t i = 0; i < n; ++i) {
    double v = double(from[i]);
    if (curved) v = low + range * std::pow((v - low) / range, gamma);
    v += shift;
    if (noisy) v += deviation * rng.normal();
    to[i] = float(std::clamp(v, 0., 1.));
  }
}

}  // namespace patchcl
