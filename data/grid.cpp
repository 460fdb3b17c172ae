#include "data/grid.h"

#include <cmath>

#include "tensor/text.h"

namespace patchcl {

std::string Grid::size_text() const {
  TextOut s;
  if (depth > 1) s << depth << " slices of ";
  s << height << 'x' << width;
  if (channels > 1) s << ", " << channels << " channels";
  return s.str();
}

void set_range_to_extremes(Grid& grid) {
  bool first = true;
  for (const double v : grid.values) {
    if (!std::isfinite(v)) continue;
    if (first || v < grid.low) grid.low = v;
    if (first || v > grid.high) grid.high = v;
    first = false;
  }
}

}  // namespace patchcl
