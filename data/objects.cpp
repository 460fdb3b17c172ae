#include "data/objects.h"

#include <algorithm>

#include "data/components.h"

namespace patchcl {

namespace {

struct Size {
  int64_t height, width;
  int64_t pixels() const { return height * width; }
  // Calls fn(neighbour) for those of pixel i inside the image; `diagonal`: all eight, else four.
  template <class F> void for_each_neighbour(int64_t i, bool diagonal, F fn) const {
    const int64_t row = i / width, column = i % width;
    for (int64_t r = std::max<int64_t>(row - 1, 0); r <= std::min(row + 1, height - 1); ++r)
      for (int64_t c = std::max<int64_t>(column - 1, 0); c <= std::min(column + 1, width - 1); ++c)
        if ((r != row || c != column) && (diagonal || r == row || c == column)) fn(r * width + c);
  }
  bool at_edge(int64_t i) const {
    const int64_t row = i / width, column = i % width;
    return row == 0 || row == height - 1 || column == 0 || column == width - 1;
  }
};

// One ring: pixels of the border class beside an object take the smallest number there.
void grow(std::vector<int32_t>& number, const uint8_t* labels, int border_class, const Size& size) {
  const std::vector<int32_t> before = number;
  for (int64_t i = 0; i < size.pixels(); ++i) {
    if (labels[i] != border_class || before[size_t(i)] != 0) continue;
    int32_t& own = number[size_t(i)];
    size.for_each_neighbour(i, true, [&](int64_t j) {
      const int32_t other = before[size_t(j)];
      if (other != 0 && (own == 0 || other < own)) own = other;
    });
  }
}

// Gives the background region at `start` to the one object around it, if that is what it is.
void fill(std::vector<int32_t>& number, int64_t start, std::vector<uint8_t>& seen, const Size& size) {
  std::vector<int64_t> region{start};
  seen[size_t(start)] = 1;
  int32_t around = 0;
  bool hole = true;
  for (size_t k = 0; k < region.size(); ++k) {
    hole = hole && !size.at_edge(region[k]);
    size.for_each_neighbour(region[k], false, [&](int64_t j) {
      const int32_t other = number[size_t(j)];
      if (other != 0) {
        hole = hole && (around == 0 || around == other);
        around = other;
      } else if (!seen[size_t(j)]) {
        seen[size_t(j)] = 1;
        region.push_back(j);
      }
    });
  }
  if (hole)
    for (const int64_t i : region) number[size_t(i)] = around;
}

// The smallest and largest number within `reach` of each of n values that lie `step` apart.
void widen(int32_t* low, int32_t* high, int64_t n, int64_t step, int64_t reach) {
  std::vector<int32_t> before_low, before_high;
  for (int64_t i = 0; i < n; ++i) {
    before_low.push_back(low[i * step]);
    before_high.push_back(high[i * step]);
  }
  for (int64_t i = 0; i < n; ++i) {
    const int64_t begin = std::max<int64_t>(i - reach, 0), end = std::min(i + reach + 1, n);
    low[i * step] = *std::min_element(before_low.begin() + begin, before_low.begin() + end);
    high[i * step] = *std::max_element(before_high.begin() + begin, before_high.begin() + end);
  }
}

}  // namespace

std::vector<int32_t> number_objects(
    const uint8_t* labels, int64_t height, int64_t width, const ObjectOptions& options) {
  const Size size{height, width};
  const Components found = find_components(labels, height, width);
  std::vector<int32_t> of_component, number(size_t(size.pixels()));
  int32_t objects = 0;
  for (const Component& c : found.list) {
    const bool kept =
        c.pixels >= options.least && (options.border_class == 0 || c.label != options.border_class);
    of_component.push_back(kept ? ++objects : 0);
  }
  for (size_t i = 0; i < number.size(); ++i)
    if (found.id[i] >= 0) number[i] = of_component[size_t(found.id[i])];
  if (options.border_class != 0)
    for (int64_t ring = 0; ring < options.border_width; ++ring)
      grow(number, labels, options.border_class, size);
  if (options.fill_holes) {
    std::vector<uint8_t> seen(number.size());
    for (int64_t i = 0; i < size.pixels(); ++i)
      if (number[size_t(i)] == 0 && !seen[size_t(i)]) fill(number, i, seen, size);
  }
  return number;
}

void mark_border(uint8_t* labels, const int32_t* numbers, int64_t height, int64_t width_of_image,
    int64_t width, uint8_t border_class) {
  const Size size{height, width_of_image};
  std::vector<int32_t> low(numbers, numbers + size.pixels()), high = low;
  for (int64_t r = 0; r < height; ++r)
    widen(&low[size_t(r * size.width)], &high[size_t(r * size.width)], size.width, 1, width);
  for (int64_t c = 0; c < size.width; ++c)
    widen(&low[size_t(c)], &high[size_t(c)], height, size.width, width);
  for (int64_t i = 0; i < size.pixels(); ++i)
    if (numbers[i] != 0 && low[size_t(i)] != high[size_t(i)])
      labels[i] = border_class;  // EQ: 9.5 border class
}

void grow_over_border(
    uint8_t* labels, int64_t height, int64_t width_of_image, int64_t width, uint8_t border_class) {
  const std::vector<int32_t> number = number_objects(labels, height, width_of_image,
      {.least = 1, .fill_holes = false, .border_class = border_class, .border_width = width});
  std::vector<uint8_t> class_of{0};  // numbers rise in the order of first pixels, border aside
  for (size_t i = 0; i < number.size(); ++i)
    if (labels[i] != border_class && number[i] != 0) {
      class_of.resize(std::max(class_of.size(), size_t(number[i]) + 1));
      class_of[size_t(number[i])] = labels[i];
    }
  for (size_t i = 0; i < number.size(); ++i) labels[i] = class_of[size_t(number[i])];
}

}  // namespace patchcl
