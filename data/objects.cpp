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

}  // namespace patchcl
