// Splits: which cases train, which validate, which test, and which have labels. All is a function of the list
// and the options, and cuts between patients, never through one; but for labels that a file names one by one.
#pragma once
#include <set>
#include <string>
#include <vector>

#include "data/layouts/layout.h"

namespace patchcl {

// How many have labels: a count ("7"; -1: all), a share of them ("10%", rounded down, at least one), or a
// file that names images or (all images of) patients, one a line.
struct Budget {
  std::string text = "-1";
  Budget(int64_t count = -1) : text(std::to_string(count)) {}
  Budget(std::string any) : text(std::move(any)) {}
  bool is_file() const;
  void check() const;  // Error(usage) for a file that is not there
};

struct DatasetOptions {
  Budget labeled = {};  // training patients with labels
  // Held-out patients: the first of a list of its own, else the last of the training list; -1: all of the
  // one, one in five of the other.
  int64_t validation = -1;
  int64_t classes = 0;    // 0: from dataset.json or from the labels of the labelled and validation cases
  int64_t tune = 0;       // training patients held out, to validate on instead of the validation split
  int64_t border = 0;     // pixels of the border class of training labels; 0: there is none
  std::string fold = {};  // "2/5": the second of five; of the folder's own folds where it lists them
  Split split = Split::validation;  // what Dataset::validation() gives: that, or another to be scored
  ReadOptions read = {};
};

// Groups ("patients") in the order of their first appearance; those with a label alone when asked.
std::vector<std::string> groups_of(const std::vector<Source>& sources, bool labeled_only = false);

// Fills train, validation and test as the options say, and notes how. Error(data) for a patient in two splits
// and for folds that the folder has not, Error(usage) for counts beyond the cases.
void divide(Layout& layout, const DatasetOptions& options);

// The ids of the training sources whose labels may be read: all of the first patients, or what a file names.
// Error(data) for none, Error(usage) for more than there are.
std::set<std::string> labeled_ids(const Layout& divided, const Budget& budget);

}  // namespace patchcl
