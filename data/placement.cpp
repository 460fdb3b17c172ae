#include "data/placement.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "tensor/error.h"
#include "tensor/text.h"

namespace patchcl {

namespace {
constexpr double kMostOfSpacing = 0.02, kMostDegrees = 2;
constexpr std::array<double, 3> kUnit{1, 1, 1};

bool says_nothing(const Grid& g) { return g.frames.empty() && g.spacing == kUnit; }

// Along the scanner's axes from 0: to the right, anterior and superior (nibabel), or left, posterior (ITK).
bool is_default(const Frame& f) {
  const double side = f.axes[2][0];
  const std::array<std::array<double, 3>, 3> axes{{{0, 0, 1}, {0, side, 0}, {side, 0, 0}}};
  return std::abs(side) == 1 && f.axes == axes && f.origin == std::array<double, 3>{};
}

double degrees_between(const std::array<double, 3>& a, const std::array<double, 3>& b) {
  const double cosine = a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
  return std::acos(std::clamp(cosine, -1.0, 1.0)) * 180 / std::numbers::pi;
}

size_t first_axis(const Grid& g) { return g.depth > 1 ? 0 : 1; }

// The largest angle between axes of the two frames that agree best.
double degrees_apart(const Grid& image, const Grid& mask) {
  double least = 180;
  for (const Frame& a : image.frames)
    for (const Frame& b : mask.frames) {
      double worst = 0;
      for (size_t i = first_axis(image); i < 3; ++i)
        worst = std::max(worst, degrees_between(a.axes[i], b.axes[i]));
      least = std::min(least, worst);
    }
  return least;
}

bool same_spacing(const Grid& image, const Grid& mask) {
  for (size_t i = first_axis(image); i < 3; ++i) {
    const double a = image.spacing[i], b = mask.spacing[i];
    if (std::abs(a - b) > kMostOfSpacing * std::max(a, b)) return false;
  }
  return true;
}

// "1x1x5 mm" in the order of the file: column, row, slice.
std::string spacing_text(const Grid& g) {
  TextOut s;
  s << g.spacing[2] << 'x' << g.spacing[1] << 'x' << g.spacing[0] << " mm";
  return s.str();
}

// "LPS": where column, row and slice numbers grow to, left or right, posterior or anterior, superior or
// inferior.
std::string letters_of(const Frame& f) {
  constexpr const char* kTowards[] = {"LR", "PA", "IS"};
  std::string letters;
  for (size_t axis = 3; axis-- > 0;) {
    const std::array<double, 3>& v = f.axes[axis];
    const auto largest =
        std::max_element(v.begin(), v.end(), [](double a, double b) { return std::abs(a) < std::abs(b); });
    letters += kTowards[largest - v.begin()][*largest > 0];
  }
  return letters;
}

// Two files that should lie on one grid, and what they are to each other.
struct Pair {
  const char *where, *first, *second;
  const Grid &a, &b;
  const std::string &a_path, &b_path;
};

void demand_same_placement(const Pair& p) {
  const std::string both = std::string(p.first) + " and " + p.second;
  if (!same_spacing(p.a, p.b))
    fail(ExitCode::data, p.where, both, " of different spacing: ", p.a_path, " has voxels of ",
        spacing_text(p.a), ", ", p.b_path, " of ", spacing_text(p.b), "; resample the ", p.second,
        " onto the ", p.first, "'s grid with the nearest voxel, or mend the header that is wrong");
  if (p.a.frames.empty() || p.b.frames.empty()) return;
  const double degrees = degrees_apart(p.a, p.b);
  if (degrees <= kMostDegrees) return;
  fail(ExitCode::data, p.where, both, " of different orientation: ", p.a_path, " has its axes towards ",
      letters_of(p.a.frames[0]), ", ", p.b_path, " towards ", letters_of(p.b.frames[0]), ", up to ",
      std::round(degrees), " degrees apart; reorient the ", p.second, " onto the ", p.first,
      "'s grid with the nearest voxel, or copy the ", p.first, "'s header where only the ", p.second,
      "'s is wrong");
}
}  // namespace

bool is_left_as_made(const Grid& grid) {
  return grid.spacing == kUnit && std::all_of(grid.frames.begin(), grid.frames.end(), is_default);
}

void demand_same_placement(
    const Grid& image, const std::string& path, const Grid& mask, const std::string& mask_path) {
  if (says_nothing(image) || is_left_as_made(mask)) return;
  demand_same_placement({"data", "image", "mask", image, mask, path, mask_path});
}

void demand_same_placement_of_masks(const Grid& reference, const std::string& reference_path,
    const Grid& prediction, const std::string& prediction_path) {
  if (is_left_as_made(reference) || is_left_as_made(prediction)) return;
  demand_same_placement(
      {"score", "reference", "prediction", reference, prediction, reference_path, prediction_path});
}

}  // namespace patchcl
