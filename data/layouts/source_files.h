// What the layouts of single files share: pictures and NIfTI volumes as sources.
#pragma once
#include "data/layouts/layout.h"

namespace patchcl {

// Depth, height and width as the header of source.path says. Error(data) naming the file.
void set_sizes(Source& source);
// The numbers that a mask stores: of a palette the indices. Error(data) naming the file.
Grid read_mask(const std::string& path);
// Whether sources are volumes or single NIfTI slices, which are resized as a whole, and no tiles.
bool hold_volumes(const std::vector<Source>& sources);

}  // namespace patchcl
