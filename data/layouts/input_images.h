// What is meant by a file or folder that is no data set: the images to predict in it.
//
// A network of several channels takes NAME_0000, NAME_0001 ... as one image, as nnU-Net's folders hold it;
// files that hold all channels stay images by themselves. Of a folder, masks that lie beside their images
// (mask_names.h) are no images.
#pragma once
#include <string>
#include <vector>

#include "data/volume.h"

namespace patchcl {

struct InputImage {
  std::vector<std::string> files;  // one, or one for each channel
  std::string name;                // of its only file, or NAME of its channels
  Volume read() const;             // Error(data) naming the file
};

struct InputImages {
  std::vector<InputImage> images;  // in the order of their names
  std::vector<std::string> masks;  // left out
};

// Error(data) where there is none, for a missing channel and for a folder that cannot be read; Error(usage)
// for a single file that is no first channel.
InputImages find_input_images(const std::string& where, int64_t channels);

}  // namespace patchcl
