#include "data/picture.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "data/formats/image.h"
#include "tensor/file.h"

namespace patchcl {

namespace {
// 5x7 glyphs of ASCII 32..126: one byte per column, lowest bit on top.
constexpr uint8_t kFont[95][5] = {{0x00, 0x00, 0x00, 0x00, 0x00}, {0x00, 0x00, 0x5f, 0x00, 0x00},
    {0x00, 0x07, 0x00, 0x07, 0x00}, {0x14, 0x7f, 0x14, 0x7f, 0x14}, {0x24, 0x2a, 0x7f, 0x2a, 0x12},
    {0x23, 0x13, 0x08, 0x64, 0x62}, {0x36, 0x49, 0x55, 0x22, 0x50}, {0x00, 0x05, 0x03, 0x00, 0x00},
    {0x00, 0x1c, 0x22, 0x41, 0x00}, {0x00, 0x41, 0x22, 0x1c, 0x00}, {0x14, 0x08, 0x3e, 0x08, 0x14},
    {0x08, 0x08, 0x3e, 0x08, 0x08}, {0x00, 0x50, 0x30, 0x00, 0x00}, {0x08, 0x08, 0x08, 0x08, 0x08},
    {0x00, 0x60, 0x60, 0x00, 0x00}, {0x20, 0x10, 0x08, 0x04, 0x02}, {0x3e, 0x51, 0x49, 0x45, 0x3e},
    {0x00, 0x42, 0x7f, 0x40, 0x00}, {0x42, 0x61, 0x51, 0x49, 0x46}, {0x21, 0x41, 0x45, 0x4b, 0x31},
    {0x18, 0x14, 0x12, 0x7f, 0x10}, {0x27, 0x45, 0x45, 0x45, 0x39}, {0x3c, 0x4a, 0x49, 0x49, 0x30},
    {0x01, 0x71, 0x09, 0x05, 0x03}, {0x36, 0x49, 0x49, 0x49, 0x36}, {0x06, 0x49, 0x49, 0x29, 0x1e},
    {0x00, 0x36, 0x36, 0x00, 0x00}, {0x00, 0x56, 0x36, 0x00, 0x00}, {0x08, 0x14, 0x22, 0x41, 0x00},
    {0x14, 0x14, 0x14, 0x14, 0x14}, {0x00, 0x41, 0x22, 0x14, 0x08}, {0x02, 0x01, 0x51, 0x09, 0x06},
    {0x32, 0x49, 0x79, 0x41, 0x3e}, {0x7e, 0x11, 0x11, 0x11, 0x7e}, {0x7f, 0x49, 0x49, 0x49, 0x36},
    {0x3e, 0x41, 0x41, 0x41, 0x22}, {0x7f, 0x41, 0x41, 0x22, 0x1c}, {0x7f, 0x49, 0x49, 0x49, 0x41},
    {0x7f, 0x09, 0x09, 0x09, 0x01}, {0x3e, 0x41, 0x49, 0x49, 0x7a}, {0x7f, 0x08, 0x08, 0x08, 0x7f},
    {0x00, 0x41, 0x7f, 0x41, 0x00}, {0x20, 0x40, 0x41, 0x3f, 0x01}, {0x7f, 0x08, 0x14, 0x22, 0x41},
    {0x7f, 0x40, 0x40, 0x40, 0x40}, {0x7f, 0x02, 0x0c, 0x02, 0x7f}, {0x7f, 0x04, 0x08, 0x10, 0x7f},
    {0x3e, 0x41, 0x41, 0x41, 0x3e}, {0x7f, 0x09, 0x09, 0x09, 0x06}, {0x3e, 0x41, 0x51, 0x21, 0x5e},
    {0x7f, 0x09, 0x19, 0x29, 0x46}, {0x46, 0x49, 0x49, 0x49, 0x31}, {0x01, 0x01, 0x7f, 0x01, 0x01},
    {0x3f, 0x40, 0x40, 0x40, 0x3f}, {0x1f, 0x20, 0x40, 0x20, 0x1f}, {0x3f, 0x40, 0x38, 0x40, 0x3f},
    {0x63, 0x14, 0x08, 0x14, 0x63}, {0x07, 0x08, 0x70, 0x08, 0x07}, {0x61, 0x51, 0x49, 0x45, 0x43},
    {0x00, 0x7f, 0x41, 0x41, 0x00}, {0x02, 0x04, 0x08, 0x10, 0x20}, {0x00, 0x41, 0x41, 0x7f, 0x00},
    {0x04, 0x02, 0x01, 0x02, 0x04}, {0x40, 0x40, 0x40, 0x40, 0x40}, {0x00, 0x01, 0x02, 0x04, 0x00},
    {0x20, 0x54, 0x54, 0x54, 0x78}, {0x7f, 0x48, 0x44, 0x44, 0x38}, {0x38, 0x44, 0x44, 0x44, 0x20},
    {0x38, 0x44, 0x44, 0x48, 0x7f}, {0x38, 0x54, 0x54, 0x54, 0x18}, {0x08, 0x7e, 0x09, 0x01, 0x02},
    {0x0c, 0x52, 0x52, 0x52, 0x3e}, {0x7f, 0x08, 0x04, 0x04, 0x78}, {0x00, 0x44, 0x7d, 0x40, 0x00},
    {0x20, 0x40, 0x44, 0x3d, 0x00}, {0x7f, 0x10, 0x28, 0x44, 0x00}, {0x00, 0x41, 0x7f, 0x40, 0x00},
    {0x7c, 0x04, 0x18, 0x04, 0x78}, {0x7c, 0x08, 0x04, 0x04, 0x78}, {0x38, 0x44, 0x44, 0x44, 0x38},
    {0x7c, 0x14, 0x14, 0x14, 0x08}, {0x08, 0x14, 0x14, 0x18, 0x7c}, {0x7c, 0x08, 0x04, 0x04, 0x08},
    {0x48, 0x54, 0x54, 0x54, 0x20}, {0x04, 0x3f, 0x44, 0x40, 0x20}, {0x3c, 0x40, 0x40, 0x20, 0x7c},
    {0x1c, 0x20, 0x40, 0x20, 0x1c}, {0x3c, 0x40, 0x30, 0x40, 0x3c}, {0x44, 0x28, 0x10, 0x28, 0x44},
    {0x0c, 0x50, 0x50, 0x50, 0x3c}, {0x44, 0x64, 0x54, 0x4c, 0x44}, {0x00, 0x08, 0x36, 0x41, 0x00},
    {0x00, 0x00, 0x7f, 0x00, 0x00}, {0x00, 0x41, 0x36, 0x08, 0x00}, {0x08, 0x04, 0x08, 0x10, 0x08}};
constexpr uint8_t kUnknownGlyph[5] = {0x7f, 0x41, 0x41, 0x41, 0x7f};

uint8_t to_byte(double v) { return uint8_t(std::lround(255 * std::clamp(v, 0.0, 1.0))); }
}  // namespace

Color class_color(int64_t k) {
  constexpr Color colors[] = {{0, 0, 0}, {64, 128, 255}, {80, 220, 100}, {255, 80, 70}, {255, 200, 40},
      {200, 90, 255}, {40, 220, 220}, {255, 140, 190}, {160, 120, 60}};
  constexpr int64_t n = std::size(colors);
  return k <= 0 ? colors[0] : colors[1 + (k - 1) % (n - 1)];
}

Color heat_color(double value) {
  // Nine stops of the viridis map, interpolated.
  constexpr double stops[9][3] = {{68, 1, 84}, {71, 44, 122}, {59, 81, 139}, {44, 113, 142}, {33, 144, 141},
      {39, 173, 129}, {92, 200, 99}, {170, 220, 50}, {253, 231, 37}};
  const double x = 8 * (std::isfinite(value) ? std::clamp(value, 0.0, 1.0) : 0);
  const int i = std::min(int(x), 7);
  Color c;
  for (size_t k = 0; k < 3; ++k)
    c[k] = uint8_t(std::lround(stops[i][k] + (x - i) * (stops[i + 1][k] - stops[i][k])));
  return c;
}

Canvas::Canvas(int64_t width, int64_t height, Color background)
    : width_(std::max<int64_t>(width, 1)), height_(std::max<int64_t>(height, 1)),
      rgb_(size_t(width_ * height_ * 3)) {
  fill(0, 0, width_, height_, background);
}

Color Canvas::at(int64_t x, int64_t y) const {
  const uint8_t* p = &rgb_.at(size_t((y * width_ + x) * 3));
  return {p[0], p[1], p[2]};
}

void Canvas::set(int64_t x, int64_t y, Color c, double alpha) {
  if (x < 0 || y < 0 || x >= width_ || y >= height_) return;
  uint8_t* p = &rgb_[size_t((y * width_ + x) * 3)];
  for (size_t k = 0; k < 3; ++k) p[k] = uint8_t(std::lround(alpha * c[k] + (1 - alpha) * p[k]));
}

void Canvas::fill(int64_t x, int64_t y, int64_t w, int64_t h, Color c, double alpha) {
  for (int64_t j = 0; j < h; ++j)
    for (int64_t i = 0; i < w; ++i) set(x + i, y + j, c, alpha);
}

void Canvas::rectangle(int64_t x, int64_t y, int64_t w, int64_t h, Color c, int64_t thickness) {
  fill(x, y, w, thickness, c);
  fill(x, y + h - thickness, w, thickness, c);
  fill(x, y, thickness, h, c);
  fill(x + w - thickness, y, thickness, h, c);
}

void Canvas::text(int64_t x, int64_t y, const std::string& s, Color c, int64_t scale) {
  if (!s.empty()) captions_.push_back({x, y, s, c, scale});
}

void Canvas::draw(const Caption& caption) {
  const int64_t y = caption.y, scale = caption.scale;
  int64_t x = caption.x;
  for (const char character : caption.text) {
    const uint8_t* glyph = character >= 32 && character <= 126 ? kFont[character - 32] : kUnknownGlyph;
    for (int64_t i = 0; i < 5; ++i)
      for (int64_t j = 0; j < 7; ++j)
        if (glyph[i] >> j & 1) fill(x + i * scale, y + j * scale, scale, scale, caption.color);
    x += 6 * scale;
  }
}

void Canvas::image(
    int64_t x, int64_t y, const float* image, int64_t h, int64_t w, int64_t channels, int64_t zoom) {
  for (int64_t j = 0; j < h; ++j)
    for (int64_t i = 0; i < w; ++i, image += channels) {
      const Color c = channels >= 3 ? Color{to_byte(image[0]), to_byte(image[1]), to_byte(image[2])}
                                    : Color{to_byte(image[0]), to_byte(image[0]), to_byte(image[0])};
      fill(x + i * zoom, y + j * zoom, zoom, zoom, c);
    }
}

void Canvas::overlay(
    int64_t x, int64_t y, const uint8_t* label, int64_t h, int64_t w, int64_t zoom, double alpha) {
  const auto drawn = [&](int64_t j, int64_t i) {
    return label[j * w + i] == 255 ? uint8_t(0) : label[j * w + i];
  };
  // A contour pixel has a neighbour of lower class, so touching classes share one line.
  const auto lower = [&](int64_t j, int64_t i, uint8_t k) {
    return j >= 0 && i >= 0 && j < h && i < w && drawn(j, i) < k;
  };
  for (int64_t j = 0; j < h; ++j)
    for (int64_t i = 0; i < w; ++i) {
      const uint8_t k = drawn(j, i);
      if (k == 0) continue;
      const int64_t px = x + i * zoom, py = y + j * zoom;
      fill(px, py, zoom, zoom, class_color(k), alpha);
      if (lower(j - 1, i, k)) fill(px, py, zoom, 1, class_color(k));
      if (lower(j + 1, i, k)) fill(px, py + zoom - 1, zoom, 1, class_color(k));
      if (lower(j, i - 1, k)) fill(px, py, 1, zoom, class_color(k));
      if (lower(j, i + 1, k)) fill(px + zoom - 1, py, 1, zoom, class_color(k));
    }
}

void Canvas::heat(
    int64_t x, int64_t y, const float* value, int64_t h, int64_t w, double low, double high, int64_t zoom) {
  const double scale = high > low ? 1 / (high - low) : 0;
  for (int64_t j = 0; j < h; ++j)
    for (int64_t i = 0; i < w; ++i)
      fill(x + i * zoom, y + j * zoom, zoom, zoom, heat_color((*value++ - low) * scale));
}

void Canvas::paste(int64_t x, int64_t y, const Canvas& other) {
  for (int64_t j = 0; j < other.height_; ++j)
    for (int64_t i = 0; i < other.width_; ++i) set(x + i, y + j, other.at(i, j));
  for (Caption c : other.captions_) {
    c.x += x;
    c.y += y;
    captions_.push_back(c);
  }
}

std::string Canvas::svg() const {
  const Bytes png = png_of(rgb_.data(), height_, width_, 3);
  const std::string size =
      " width=\"" + std::to_string(width_) + "\" height=\"" + std::to_string(height_) + "\"";
  std::string s = "<svg xmlns=\"http://www.w3.org/2000/svg\"" + size + " viewBox=\"0 0 " +
                  std::to_string(width_) + " " + std::to_string(height_) +
                  "\" font-family=\"sans-serif\">\n<image" + size +
                  " style=\"image-rendering:pixelated\" href=\"data:image/png;base64," +
                  base64(png.data(), png.size()) + "\"/>\n";
  for (const Caption& c : captions_) {
    char color[8];
    std::snprintf(color, sizeof color, "#%02x%02x%02x", c.color[0], c.color[1], c.color[2]);
    s += "<text x=\"" + std::to_string(c.x) + "\" y=\"" + std::to_string(c.y + 7 * c.scale) + "\" fill=\"" +
         color + "\" font-size=\"" + std::to_string(10 * c.scale) + "\">" + in_markup(printable(c.text)) +
         "</text>\n";
  }
  return s + "</svg>\n";
}

bool is_svg(const std::string& path) {
  std::string ending = std::filesystem::path(path).extension();
  std::transform(
      ending.begin(), ending.end(), ending.begin(), [](unsigned char c) { return std::tolower(c); });
  if (ending != ".svg" && ending != ".png")
    fail(ExitCode::usage, "picture", path, " ends in '", ending, "'; pictures are written as .svg or .png");
  return ending == ".svg";
}

void Canvas::save(const std::string& path) const {
  if (is_svg(path)) return write_text(path, svg());
  Canvas flat = *this;
  for (const Caption& c : captions_) flat.draw(c);
  write_png(path, flat.rgb_.data(), height_, width_, 3);
}

Canvas heat_scale(int64_t width, int64_t height, const std::string& one, const std::string& zero) {
  Canvas c(width, height, kSheet);
  const int64_t bar = width / 6;
  for (int64_t y = 0; y < height; ++y)
    c.fill(0, y, bar, 1, heat_color(1 - double(y) / double(std::max<int64_t>(1, height - 1))));
  c.text(bar + 6, 0, one);
  c.text(bar + 6, height - 8, zero);
  return c;
}

Canvas sheet(const std::vector<Canvas>& pictures, const std::vector<std::string>& captions, int64_t columns,
    const std::string& title) {
  constexpr int64_t gap = 6, caption_height = 11, title_height = 22;
  const int64_t n = int64_t(pictures.size());
  columns = std::clamp<int64_t>(columns, 1, std::max<int64_t>(n, 1));
  int64_t cell_w = 1, cell_h = 1;
  for (int64_t i = 0; i < n; ++i) {
    const size_t k = size_t(i);
    cell_w = std::max(cell_w, pictures[k].width());
    if (k < captions.size()) cell_w = std::max(cell_w, Canvas::text_width(captions[k]));
    cell_h = std::max(cell_h, pictures[k].height());
  }
  cell_h += caption_height;
  const int64_t top = title.empty() ? 0 : title_height, rows = (n + columns - 1) / columns;
  Canvas out(
      std::max(columns * (cell_w + gap) + gap, title.empty() ? 0 : Canvas::text_width(title, 2) + 2 * gap),
      top + rows * (cell_h + gap) + gap, kSheet);
  out.text(gap, gap, title, kWhite, 2);
  for (int64_t i = 0; i < n; ++i) {
    const int64_t x = gap + i % columns * (cell_w + gap), y = top + gap + i / columns * (cell_h + gap);
    if (size_t(i) < captions.size()) out.text(x, y, captions[size_t(i)]);
    out.paste(x, y + caption_height, pictures[size_t(i)]);
  }
  return out;
}

}  // namespace patchcl
