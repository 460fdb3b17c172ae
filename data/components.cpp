#include "data/components.h"

#include <algorithm>

namespace patchcl {

namespace {

// Marks everything connected to `start` with the next index and returns its summary.
Component flood(const uint8_t* labels, int64_t height, int64_t width, int64_t depth, int64_t start,
    int32_t index, std::vector<int32_t>& id) {
  Component c{labels[start], 0, height, width, 0, 0};
  std::vector<int64_t> pending{start};
  id[size_t(start)] = index;
  while (!pending.empty()) {
    const int64_t slice = pending.back() / (height * width), row = pending.back() / width % height,
                  col = pending.back() % width;
    pending.pop_back();
    ++c.pixels;
    c.top = std::min(c.top, row);
    c.left = std::min(c.left, col);
    c.bottom = std::max(c.bottom, row + 1);
    c.right = std::max(c.right, col + 1);
    for (int64_t z = std::max<int64_t>(slice - 1, 0); z <= std::min(slice + 1, depth - 1); ++z)
      for (int64_t r = std::max<int64_t>(row - 1, 0); r <= std::min(row + 1, height - 1); ++r)
        for (int64_t s = std::max<int64_t>(col - 1, 0); s <= std::min(col + 1, width - 1); ++s) {
          const int64_t next = (z * height + r) * width + s;
          if (labels[next] != c.label || id[size_t(next)] >= 0) continue;
          id[size_t(next)] = index;
          pending.push_back(next);
        }
  }
  return c;
}

}  // namespace

Components find_components(const uint8_t* labels, int64_t height, int64_t width, int64_t depth) {
  Components found;
  found.id.assign(size_t(depth * height * width), -1);
  for (int64_t i = 0; i < depth * height * width; ++i)
    if (labels[i] != 0 && found.id[size_t(i)] < 0)
      found.list.push_back(flood(labels, height, width, depth, i, int32_t(found.list.size()), found.id));
  return found;
}

void keep_largest_components(uint8_t* labels, int64_t height, int64_t width, int64_t depth) {
  const Components found = find_components(labels, height, width, depth);
  int32_t largest[256];
  std::fill(std::begin(largest), std::end(largest), -1);
  for (size_t i = 0; i < found.list.size(); ++i) {
    int32_t& best = largest[found.list[i].label];
    if (best < 0 || found.list[i].pixels > found.list[size_t(best)].pixels) best = int32_t(i);
  }
  for (int64_t i = 0; i < depth * height * width; ++i)
    if (labels[i] != 0 && found.id[size_t(i)] != largest[labels[i]]) labels[i] = 0;
}

}  // namespace patchcl
