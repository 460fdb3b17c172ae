// Names of classes. A mask holds numbers alone: two sides that number the same names in another order would
// be scored crosswise, and nobody would see it.
#pragma once
#include <string>
#include <vector>

#include "data/layouts/layout.h"
#include "train/setup/model_file.h"

namespace patchcl {

// Names of the foreground classes: those of the weights, else `otherwise` (background first), else numbers.
std::vector<std::string> foreground_names(
    const ModelInfo& info, const std::vector<std::string>& otherwise = {});

// All names but that of the border class; empty where the weights have none.
std::vector<std::string> class_names_of(const ModelInfo& info);

// Who names its classes, "weights a.safetensors", and how, background first; empty where nobody named them.
struct NamedClasses {
  std::string who;
  std::vector<std::string> names;
};
// Error(usage) with both lists and `remedy` where they are the same in another order. Lists that differ
// otherwise are noted on standard error; a list of "class 1", "class 2" ... is none.
void demand_same_classes(const NamedClasses& a, const NamedClasses& b, const std::string& remedy);

// "; say --label-values 0,3,2,1": the option that numbers the masks of a data set, whose classes are called
// `names` when it is read as `read` says, as `wanted` does.
std::string renumbered(
    const ReadOptions& read, const std::vector<std::string>& names, const std::vector<std::string>& wanted);

}  // namespace patchcl
