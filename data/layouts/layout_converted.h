// Names that writer (convert.cpp) and reader (layout_converted.cpp) of the converted layout share.
#pragma once
#include <cstdint>
#include <string>

namespace patchcl {

constexpr const char* kConvertedFormat = "patchcl 1";

// "ID.png" for a single image, "ID_z007.png" for slice 7 of a volume.
std::string slice_file(const std::string& id, int64_t slice, int64_t depth);

}  // namespace patchcl
