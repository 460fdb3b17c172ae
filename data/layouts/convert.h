// A data set written in a form that other programs of the field read too, and this one.
//
//   ssl4mis  SSL4MIS's folder: train_slices.list, val.list, test.list, data/slices/ID_slice_1.h5, data/ID.h5.
//            Values lie in [0,1], min-max per volume as SSL4MIS's. Spacing and orientation have no place
//            there.
//   nnunet   nnU-Net v2's: dataset.json, imagesTr/ID_0000.nii.gz, labelsTr/ID.nii.gz, splits_final.json;
//            imagesTs/ holds the test split and what has no label, and does not tell them apart.
//            Values, spacing and (of NIfTI) orientation exactly; slices ID_slice_N make up the volume ID.
//   png      images/ID.png, masks/ID.png, train.list, val.list, test.list; a volume becomes ID_slice_001.png
//   ...
//            Whole numbers within 0..255 or 0..65535 stay; others are scaled from the extremes of the case
//            to 16 bits and rounded. Each image is one of its own then: normalised alone, no spacing.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "data/layouts/layout.h"

namespace patchcl {

enum class Target { ssl4mis, nnunet, png };

struct ConvertReport {
  int64_t cases = 0, slices = 0;
  int64_t rounded_cases = 0;       // whose values are not exactly those of the source
  double largest_error = 0;        // of a value, as a fraction of its case's range
  std::vector<std::string> notes;  // what the target does not keep
};

// Writes what `from` (a folder or a phantom) holds into the folder `to`, which must not exist or be empty.
// Splits are kept, but for images without labels in nnunet's imagesTs, of which a note says what they become.
// Throws Error(io) when it cannot write, Error(data) for a damaged source or one that the
// target has no place for (colour in ssl4mis and nnunet).
ConvertReport convert_data(const std::string& from, const std::string& to, Target target,
    const ReadOptions& options = {}, const std::function<void(int64_t, int64_t)>& progress = {});

}  // namespace patchcl
