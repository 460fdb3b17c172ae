// HDF5 files in SSL4MIS's layout: data sets "image" and "label", (H,W) for a slice or (D,H,W) for a volume.
// Without the library (HDF5=0) both functions throw Error(data) that says so.
#pragma once
#include <string>
#include <vector>

#include "data/grid.h"

namespace patchcl {

bool h5_has(const std::string& path, const std::string& array);
Grid read_h5(const std::string& path, const std::string& array);

// Either pointer may be null. dims is (H,W) or (D,H,W); image is stored as float64, label as uint8, both
// gzipped.
void write_h5(const std::string& path, const std::vector<int64_t>& dims, const std::vector<double>* image,
    const std::vector<uint8_t>* label);

}  // namespace patchcl
