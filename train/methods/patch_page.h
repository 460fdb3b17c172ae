// PatchCL's sampling as a page to play with: one image, what a network thinks of it, and windows whose
// entropy, confidence and weight answer to sliders (METHODS 1.3). One file, no network, no framework.
#pragma once
#include "train/methods/patch_sampler.h"

namespace patchcl {

// The part of a page: images called `ids`, what is thought of them, and the drawn windows. The page computes
// what the sliders ask for from the probabilities in it, and says how far its numbers are from the program's.
std::string patch_widget(const PatchImages& batch, const PatchOptions& options,
    const std::vector<Patch>& drawn, const std::vector<std::string>& class_names,
    const std::vector<std::string>& ids);
// A page with nothing else, of one image. Error(io).
void write_patch_page(const PatchImages& batch, const PatchOptions& options, const std::vector<Patch>& drawn,
    const std::vector<std::string>& class_names, const std::string& title, const std::string& path);

}  // namespace patchcl
