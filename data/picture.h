// Canvas: a small RGB picture to draw images, label overlays, heat maps and captions on, for sheets in run
// folders. Captions stay text: an SVG holds them as such, over the picture as PNG; a PNG has them in pixels.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace patchcl {

using Color = std::array<uint8_t, 3>;

constexpr Color kWhite{255, 255, 255}, kBlack{0, 0, 0}, kGrey{128, 128, 128}, kSheet{24, 24, 28};
// Colour of class k: RV blue, Myo green, LV red, then further distinct ones; background black.
Color class_color(int64_t k);
// Heat map: 0 dark violet, 1 yellow (perceptually ordered); values outside [0,1] are clamped.
Color heat_color(double value);
// By the ending, large or small: .svg, or .png. Error(usage) for any other.
bool is_svg(const std::string& path);

class Canvas {
 public:
  Canvas(int64_t width, int64_t height, Color background = kBlack);
  int64_t width() const { return width_; }
  int64_t height() const { return height_; }
  Color at(int64_t x, int64_t y) const;
  // Outside the canvas nothing is drawn.
  void set(int64_t x, int64_t y, Color c, double alpha = 1);
  void rectangle(int64_t x, int64_t y, int64_t w, int64_t h, Color c, int64_t thickness = 1);
  void fill(int64_t x, int64_t y, int64_t w, int64_t h, Color c, double alpha = 1);
  // Characters of 5x7 pixels times `scale`, 6 apart, on top of all else. In pixels only ASCII can be
  // printed; others are a box.
  void text(int64_t x, int64_t y, const std::string& s, Color c = kWhite, int64_t scale = 1);
  static int64_t text_width(const std::string& s, int64_t scale = 1) { return int64_t(s.size()) * 6 * scale; }

  // image (h,w,channels) in [0,1], each pixel a square of `zoom`.
  void image(
      int64_t x, int64_t y, const float* image, int64_t h, int64_t w, int64_t channels, int64_t zoom = 1);
  // Classes > 0 as a wash of strength `alpha` and a solid contour. 255 ("no label") draws nothing.
  void overlay(
      int64_t x, int64_t y, const uint8_t* label, int64_t h, int64_t w, int64_t zoom = 1, double alpha = 0.3);
  // value (h,w) from `low` to `high` as heat_color.
  void heat(int64_t x, int64_t y, const float* value, int64_t h, int64_t w, double low, double high,
      int64_t zoom = 1);
  void paste(int64_t x, int64_t y, const Canvas& other);

  // By its ending, as is_svg() has it. Throws Error(io) naming the path.
  void save(const std::string& path) const;

 private:
  struct Caption {
    int64_t x, y;
    std::string text;
    Color color;
    int64_t scale;
  };
  void draw(const Caption& c);
  std::string svg() const;
  std::vector<Caption> captions_;
  int64_t width_, height_;
  std::vector<uint8_t> rgb_;
};

// The colours of 1, above, to 0, below, and what they mean beside them.
Canvas heat_scale(int64_t width, int64_t height, const std::string& one, const std::string& zero);

// Pictures in rows of `columns` with a caption above each (may be empty) and an optional title.
Canvas sheet(const std::vector<Canvas>& pictures, const std::vector<std::string>& captions, int64_t columns,
    const std::string& title = "");

}  // namespace patchcl
