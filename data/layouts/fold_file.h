// The folds that --fold k/N cuts, as the splits_final.json that nnU-Net reads: a list of {"train", "val"}
// with the names of cases, in the order of the folds.
#pragma once
#include <string>

#include "data/layouts/splits.h"

namespace patchcl {

// Of all N folds, whichever of them `options.fold` asks for; labelled cases only. `layout` is undivided.
std::string folds_json(const Layout& layout, DatasetOptions options);

}  // namespace patchcl
