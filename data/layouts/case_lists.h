// CaseLists: which cases of a folder train, which of these with their labels, and which are held out. What a
// run and its data are known by, wherever they lie.
#pragma once
#include <string>

#include "data/layouts/splits.h"

namespace patchcl {

struct CaseLists {
  Layout layout;  // divided; in `train` those whose labels are read come first, all of `validation` has some
  int64_t labeled = 0;  // how many of `train` these are
  // Tells lists apart: a hash of which cases are labelled, unlabelled and held out, in order.
  std::string fingerprint() const;
};

// No file's numbers are read. Errors as of divide() and labeled_ids(), Error(data) for no training case.
CaseLists case_lists(Layout layout, const DatasetOptions& options);

}  // namespace patchcl
