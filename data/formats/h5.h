// HDF5 files in SSL4MIS's layout: data sets "image" and "label", (H,W) for a slice or (D,H,W) for a volume.
// Only what such files need is read: data sets that lie in the file itself (no links, external or virtual
// storage), of plain integers or floats, unpacked or packed by deflate, shuffle and fletcher32, no larger
// than their storage. Files are read from and written to memory, so that the library never touches a disk.
// Without the library (HDF5=0) the functions throw Error(data) that says so.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/grid.h"

namespace patchcl {

// low and high: 0 and 1 for what lies in [0,1] (normalised per volume already), else the extremes.
// Error(data) naming the file and the data sets that it should have.
Grid read_h5(const std::string& path, const std::string& array);
// The same from memory, nothing when there is no data set of that name; `name` is what messages call the
// file.
std::optional<Grid> read_h5(
    std::span<const uint8_t> bytes, const std::string& name, const std::string& array);

// Whether there is a data set of that name. Error(data) for a file that cannot be opened.
bool h5_has(const std::string& path, const std::string& array);

// Either pointer may be null. dims is (H,W) or (D,H,W); image is stored as float64, label as uint8, both
// gzipped.
void write_h5(const std::string& path, const std::vector<int64_t>& dims, const std::vector<double>* image,
    const std::vector<uint8_t>* label);

}  // namespace patchcl
