// What the layouts of single files share: pictures and NIfTI volumes as sources.
#pragma once
#include "data/layouts/layout.h"

namespace patchcl {

// Depth, height and width as the header of source.path says. Error(data) naming the file.
void set_sizes(Source& source);
// "DIR/NAME_0001.nii.gz": nnU-Net's file of a channel.
std::string channel_file(const std::string& name, int64_t channel, const std::string& ending);
// One image as all its channels, each to [0,1] where there are several; those of one picture have one scale.
// Error(data) naming a file that has more than one channel or another size than the first.
Grid read_channels(const std::vector<std::string>& paths);
// The numbers that a mask stores: of a palette the indices. Error(data) naming the file.
Grid read_mask(const std::string& path);
// Whether sources are volumes or single NIfTI slices, which are resized as a whole, and no tiles.
bool hold_volumes(const std::vector<Source>& sources);

}  // namespace patchcl
