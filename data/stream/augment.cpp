#include "data/stream/augment.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include "data/resize.h"
#include "data/stream/elastic.h"
#include "tensor/error.h"

namespace patchcl {

const std::vector<std::string>& augmentation_names() {
  static const std::vector<std::string> names{
      "none", "ssl4mis", "ssl4mis-2025", "flips", "elastic", "elastic-mirror"};
  return names;
}

namespace {
// What one slice undergoes, drawn once and applied to image and label.
struct Plan {
  enum { nothing, turn, rotate } what = nothing;
  int64_t quarter_turns = 0;
  int axis = 0;
  double degrees = 0;
  int64_t top = 0, left = 0;  // of the cut, when there is one
};

bool is_elastic(Augmentation kind) {
  return kind == Augmentation::elastic || kind == Augmentation::elastic_mirror;
}

Plan draw(const AugmentOptions& o, int64_t height, int64_t width, Rng& rng) {
  Plan p;
  const bool first = rng.uniform() < 0.5, second = rng.uniform() < 0.5;
  const bool still = o.kind == Augmentation::none || is_elastic(o.kind);
  if (o.kind == Augmentation::flips || (!still && first)) p.what = Plan::turn;
  else if (o.kind == Augmentation::ssl4mis_2025 || (o.kind == Augmentation::ssl4mis && second))
    p.what = Plan::rotate;
  p.quarter_turns = rng.below(4);
  p.axis = int(rng.below(2));
  p.degrees = double(rng.below(40) - 20);
  if (o.fit == Fit::crop) {
    p.top = rng.below(std::max<int64_t>(height - o.size, 0) + 1);
    p.left = rng.below(std::max<int64_t>(width - o.size, 0) + 1);
  }
  return p;
}

template <class T> Picture<T> cut(
    const T* in, int64_t width, int64_t channels, int64_t top, int64_t left, int64_t h, int64_t w) {
  Picture<T> out{h, w, channels, {}};
  out.values.reserve(size_t(h * w * channels));
  for (int64_t y = top; y < top + h; ++y) {
    const T* row = in + (y * width + left) * channels;
    out.values.insert(out.values.end(), row, row + w * channels);
  }
  return out;
}

// At least side x side: it goes on by reflection where it is smaller, as in inference.
template <class T> Picture<T> continued_to(Picture<T> x, int64_t side) {
  if (x.height >= side && x.width >= side) return x;
  const std::vector<int64_t> rows = continued(range(0, x.height), side),
                             columns = continued(range(0, x.width), side);
  Picture<T> out{int64_t(rows.size()), int64_t(columns.size()), x.channels, {}};
  for (const int64_t row : rows)
    for (const int64_t column : columns) {
      const auto pixel = x.values.begin() + (row * x.width + column) * x.channels;
      out.values.insert(out.values.end(), pixel, pixel + x.channels);
    }
  return out;
}

// (size,size,C)
template <class T> Picture<T> whole(const Plan& p, const AugmentOptions& o, bool bilinear, const T* in,
    int64_t height, int64_t width, int64_t channels) {
  const bool crop = o.fit == Fit::crop;
  Picture<T> x = cut(in, width, channels, p.top, p.left, crop ? std::min(height, o.size) : height,
      crop ? std::min(width, o.size) : width);
  if (crop) x = continued_to(std::move(x), o.size);
  if (p.what == Plan::turn) x = rot90_flip(x, p.quarter_turns, p.axis);
  else if (p.what == Plan::rotate) x = rotate_nearest(x, p.degrees);
  Picture<T> out{o.size, o.size, channels, std::vector<T>(size_t(o.size * o.size * channels))};
  const auto zoom = bilinear ? zoom_bilinear<T> : zoom_nearest<T>;
  zoom(x.values.data(), x.height, x.width, channels, out.values.data(), o.size, o.size);
  return out;
}

struct Corner {
  int64_t top, left;
};

// The window around a random foreground pixel; anywhere when the image shows none.
Corner around_foreground(const Picture<uint8_t>& label, int64_t window, Corner anywhere, Rng& rng) {
  std::vector<int64_t> foreground;
  for (size_t m = 0; m < label.values.size(); ++m)
    if (label.values[m] != 0) foreground.push_back(int64_t(m));
  if (foreground.empty()) return anywhere;
  const int64_t m = foreground[size_t(rng.below(int64_t(foreground.size())))], most = label.width - window;
  const auto begin = [&](int64_t middle) { return std::clamp<int64_t>(middle - window / 2, 0, most); };
  return {begin(m / label.width), begin(m % label.width)};
}

// `label` is empty where the image has none.
Corner place_window(const AugmentOptions& o, const Picture<uint8_t>& label, Rng& rng) {
  const int64_t places = o.size - o.window + 1;
  const Corner a{rng.below(places), rng.below(places)}, b{rng.below(places), rng.below(places)};
  if (o.window_at == WindowAt::centre) return {(a.top + b.top) / 2, (a.left + b.left) / 2};
  if (o.window_at == WindowAt::uniform || rng.uniform() < 0.5) return a;
  return around_foreground(label, o.window, a, rng);
}

template <class T> void write(const Picture<T>& x, const AugmentOptions& o, const Corner& corner, T* out) {
  const Picture<T> part =
      cut(x.values.data(), o.size, x.channels, corner.top, corner.left, o.side(), o.side());
  std::copy(part.values.begin(), part.values.end(), out);
}

double clamp_unit(double v) { return std::clamp(v, 0.0, 1.0); }

// ITU-R 601 luma, as torchvision computes it.
double luma(const float* pixel, int64_t channels) {
  return channels == 3 ? 0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2] : pixel[0];
}
}  // namespace

template <class T> Picture<T> rot90_flip(const Picture<T>& in, int64_t quarter_turns, int axis) {
  const int64_t k = quarter_turns & 3, h = in.height, w = in.width, c = in.channels;
  Picture<T> out{k & 1 ? w : h, k & 1 ? h : w, c, std::vector<T>(in.values.size())};
  T* to = out.values.data();
  for (int64_t oy = 0; oy < out.height; ++oy)
    for (int64_t ox = 0; ox < out.width; ++ox) {
      // The flip is the last step, so undo it first; then (y,x) is the pixel that k turns to the left bring
      // there.
      const int64_t fy = axis == 0 ? out.height - 1 - oy : oy, fx = axis == 1 ? out.width - 1 - ox : ox;
      const int64_t ys[] = {fy, fx, h - 1 - fy, h - 1 - fx}, xs[] = {fx, w - 1 - fy, w - 1 - fx, fy};
      const int64_t y = ys[k], x = xs[k];
      to = std::copy_n(&in.values[size_t((y * w + x) * c)], c, to);
    }
  return out;
}

template <class T> Picture<T> rotate_nearest(const Picture<T>& in, double degrees) {
  const double angle = degrees * (std::numbers::pi / 180), cosine = std::cos(angle), sine = std::sin(angle);
  const double cy = double(in.height - 1) / 2, cx = double(in.width - 1) / 2;
  const double shift_y = cy - (cosine * cy + sine * cx), shift_x = cx - (-sine * cy + cosine * cx);
  Picture<T> out{in.height, in.width, in.channels, std::vector<T>(in.values.size())};
  T* to = out.values.data();
  for (int64_t oy = 0; oy < in.height; ++oy)
    for (int64_t ox = 0; ox < in.width; ++ox, to += in.channels) {
      const double y = shift_y + cosine * double(oy) + sine * double(ox);  // EQ: 4.2 rotation, order 0
      const double x = shift_x - sine * double(oy) + cosine * double(ox);
      if (y < 0 || y > double(in.height - 1) || x < 0 || x > double(in.width - 1)) continue;
      const int64_t iy = int64_t(std::floor(y + 0.5)), ix = int64_t(std::floor(x + 0.5));
      std::copy_n(&in.values[size_t((iy * in.width + ix) * in.channels)], in.channels, to);
    }
  return out;
}

template Picture<float> rot90_flip(const Picture<float>&, int64_t, int);
template Picture<uint8_t> rot90_flip(const Picture<uint8_t>&, int64_t, int);
template Picture<float> rotate_nearest(const Picture<float>&, double);
template Picture<uint8_t> rotate_nearest(const Picture<uint8_t>&, double);

void augment(const Slice& in, const AugmentOptions& options, Rng rng, float* image, uint8_t* label) {
  Rng warping = rng;
  warping.skip(16);  // behind the draws of the plan
  const Plan plan = draw(options, in.height, in.width, rng);
  const bool bilinear = options.fit == Fit::bilinear;
  Picture<float> x = whole(plan, options, bilinear, in.image, in.height, in.width, in.channels);
  Picture<uint8_t> y{options.size, options.size, 1, {}};
  if (in.label) y = whole(plan, options, options.bilinear_labels, in.label, in.height, in.width, 1);
  if (is_elastic(options.kind)) {
    const bool mirror = options.kind == Augmentation::elastic_mirror;
    const auto field = warp_field(options.size, mirror ? kFineTuningWarp : kPretrainingWarp, warping);
    warp(options.size, in.channels, field, x.values.data(), in.label ? y.values.data() : nullptr);
    rng = warping;
  }
  const Corner corner = options.window > 0 ? place_window(options, y, rng) : Corner{0, 0};
  write(x, options, corner, image);
  if (in.label) write(y, options, corner, label);
}

namespace {

// x <- brightness x, then its distance from the mean grey times contrast; each clamped to [0,1].
void jitter(float* x, int64_t pixels, int64_t channels, double brightness, double contrast) {
  const int64_t n = pixels * channels;
  for (int64_t i = 0; i < n; ++i) x[i] = float(clamp_unit(brightness * x[i]));
  double mean = 0;
  for (int64_t p = 0; p < pixels; ++p) mean += luma(x + p * channels, channels);
  mean /= double(pixels);
  for (int64_t i = 0; i < n; ++i) x[i] = float(clamp_unit(mean + contrast * (x[i] - mean)));
}

// Index `i` of an axis of n, mirrored behind both ends: the outermost stand there twice.
int64_t mirrored_behind(int64_t i, int64_t n) {
  const int64_t period = 2 * n, at = (i % period + period) % period;
  return at < n ? at : period - 1 - at;
}

// Along one axis of n numbers that lie `stride` apart, `lines` of them.
void blur_line(float* x, int64_t n, int64_t stride, const std::vector<double>& kernel) {
  const int64_t radius = int64_t(kernel.size()) / 2;
  std::vector<float> line(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) line[size_t(i)] = x[i * stride];
  for (int64_t i = 0; i < n; ++i) {
    double sum = 0;
    for (int64_t k = -radius; k <= radius; ++k)
      sum += kernel[size_t(k + radius)] * double(line[size_t(mirrored_behind(i + k, n))]);
    x[i * stride] = float(sum);
  }
}

std::vector<double> gaussian(double sigma) {
  const int64_t radius = int64_t(std::ceil(3 * sigma));
  std::vector<double> kernel;
  double sum = 0;
  for (int64_t k = -radius; k <= radius; ++k) {
    kernel.push_back(std::exp(-double(k * k) / (2 * sigma * sigma)));
    sum += kernel.back();
  }
  for (double& w : kernel) w /= sum;
  return kernel;
}

}  // namespace

void eight_bit_view(const float* weak, int64_t numbers, float* view) {
  for (int64_t i = 0; i < numbers; ++i) view[i] = std::floor(255 * weak[i]) / 255;
}

void blurred_view(
    const float* weak, int64_t height, int64_t width, int64_t channels, double blur, Rng rng, float* strong) {
  eight_bit_view(weak, height * width * channels, strong);
  const bool jittered = rng.uniform() < 0.8;
  const double brightness = rng.uniform(0.5, 1.5), contrast = rng.uniform(0.5, 1.5);
  const bool blurs = rng.uniform() < blur;
  const double sigma = rng.uniform(0.1, 2);
  if (jittered) jitter(strong, height * width, channels, brightness, contrast);
  if (!blurs) return;
  const std::vector<double> kernel = gaussian(sigma);
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t y = 0; y < height; ++y)
      blur_line(strong + y * width * channels + c, width, channels, kernel);
    for (int64_t x = 0; x < width; ++x)
      blur_line(strong + x * channels + c, height, width * channels, kernel);
  }
}

void strong_view(const float* weak, int64_t pixels, int64_t channels, Rng rng, float* strong) {
  const double brightness = rng.uniform(0.2, 1.8), contrast = rng.uniform(0.2, 1.8),
               saturation = rng.uniform(0.2, 1.8);
  std::copy_n(weak, pixels * channels, strong);
  jitter(strong, pixels, channels, brightness, contrast);
  if (channels != 3) return;
  for (int64_t p = 0; p < pixels; ++p) {
    float* pixel = strong + p * 3;
    const double grey = luma(pixel, 3);
    for (int c = 0; c < 3; ++c) pixel[c] = float(clamp_unit(grey + saturation * (pixel[c] - grey)));
  }
}

}  // namespace patchcl
