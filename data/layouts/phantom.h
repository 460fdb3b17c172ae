// Phantom: generated short-axis views of a heart, so that demo and tests need no download.
//
// Case i is a function of (seed, i). In each slice a bright left-ventricular cavity lies in a darker ring of
// myocardium, a crescent of right ventricle beside it, within a thorax of lung, liver, muscle and fat whose
// intensities overlap theirs. Pose, size, wall thickness, contrast, bias field, blur (partial volume) and
// noise vary from case to case, shape along the slices; towards the base and beyond the apex structures
// vanish.
#pragma once
#include <string>

#include "data/grid.h"
#include "data/layouts/layout.h"

namespace patchcl {

struct PhantomOptions {
  int64_t cases = 40;       // to train on
  int64_t validation = 10;  // further cases, the same ones for any number of training cases
  int64_t size = 96;        // height and width of a slice
  int64_t slices = 8;
  uint64_t seed = 2023;
};

// "phantom", "phantom:cases=40,size=96,slices=8,val=10,seed=1". Throws Error(usage) naming an unknown key.
PhantomOptions parse_phantom(const std::string& spec);

Grid phantom_image(const PhantomOptions& options, int64_t i);
Grid phantom_label(const PhantomOptions& options, int64_t i);  // 0..3: background, RV, Myo, LV

Layout phantom_layout(const PhantomOptions& options);

}  // namespace patchcl
