// The "converted" layout: any data set as 8- or 16-bit PNG images that open everywhere, without loss.
//
//   patchcl.json        layout of origin, class names, and per case: id, patient, split, size, spacing,
//   coding images/ID.png       one file per slice: ID.png for a single image, ID_z000.png ... for a volume
//   labels/ID.png       class numbers
//
// A PNG holds whole numbers, a source may hold fractions, so each case has a coding. A pixel is index * step,
// where step spreads the indices over the range of the file so that it can be looked at, and index stands for
//   integers   first + index               a scanner's numbers
//   fractions  (first + index) / divisor   such numbers after a division: ACDC's k / max as SSL4MIS stores
//   them levels     levels[index]               any other set of at most 65536 values rounded    low + index
//   (high - low) / 65535, the only one that loses: at most half of (high - low) / 65535
// Orientation of NIfTI is not kept; spacing is.
#pragma once
#include <functional>
#include <string>

#include "data/layouts/layout.h"

namespace patchcl {

struct ConvertReport {
  int64_t cases = 0, slices = 0;
  int64_t rounded_cases = 0;  // not exact
  double largest_error = 0;   // of a value, as a fraction of its case's range
};

// Writes what `from` (a folder or a phantom) holds into the folder `to`, which must not exist or be empty.
// Splits and the order of the lists are kept. Throws Error(io) when it cannot write, Error(data) for a
// damaged source.
ConvertReport convert_data(const std::string& from, const std::string& to,
    const std::function<void(int64_t, int64_t)>& progress = {});

}  // namespace patchcl
