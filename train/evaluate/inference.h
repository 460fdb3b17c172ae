// Inference: label masks for volumes and images of any size, and the validation of a network on labelled
// ones.
//
// Three ways to bring a slice (H,W,C) to the network, whose input is size x size:
//   resize    the whole slice, zoomed to the network's size with order 0; its labels zoom back likewise
//             (METHODS 4.5);
//   bilinear  the same with order 1; labels zoom back with order 0
//   crop      windows of native resolution that overlap; softmax probabilities are averaged where they do.
//             For images larger than the network, whose detail a zoom would lose.
// With `bilinear_back` the logits of the first two zoom back with order 1, and the class is the likeliest one
// there: how UniMatch's line of papers evaluates (METHODS 4.5), but for its corners, which lie half a pixel
// further out. Of several networks or turns it is the logarithm of the mean probability that is zoomed.
// Slices and windows go through the network in batches, batch norm with its running statistics, no dropout.
// Inputs whose sides are no multiples of 16 (with crop: images smaller than a window, too) are continued by
// reflection, and cut again.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "data/stream/dataset.h"
#include "layers/unet.h"
#include "train/evaluate/metrics.h"

namespace patchcl {

struct InferenceOptions {
  Fit fit = Fit::resize;
  int64_t size = 256;          // side of the network's input
  int64_t batch = 8;           // slices or tiles in one forward pass
  double overlap = 0.5;        // of neighbouring tiles, in [0,1)
  bool turns = false;          // mean of probabilities over the eight flips and quarter turns of the input
  int64_t border = 0;          // pixels that objects grow over the last class (METHODS 9.5)
  bool bilinear_back = false;  // not with crop
  bool largest_component = false;  // of each class in a case, 26-connected; the rest is background
};

// Networks that predict together, with the mean of their probabilities: folds, seeds.
struct Predictor {
  const UNet* unet;
  const ParamStore* weights;
};
using Ensemble = std::vector<Predictor>;

// Probabilities (H,W,K) of a slice at the volume's resolution.
using SeeSlice = std::function<void(int64_t slice, const std::vector<double>& probabilities)>;
// Class of each voxel, (D,H,W): with the border class, if there is one, from which objects are counted; and
// finished, without it.
struct Segmentation {
  std::vector<uint8_t> of_network, classes;
};
// `arena` on the weights' device holds the activations. Throws Error(data) when
// the volume's channels are not the networks', Error(usage) for options that make no sense, Error(non_finite)
// that names the slice where a probability is NaN.
Segmentation segment(const Ensemble& networks, const Volume& volume, const InferenceOptions& options,
    const Arena& arena, const SeeSlice& see = {});
inline std::vector<uint8_t> segment(const UNet& unet, const ParamStore& weights, const Volume& volume,
    const InferenceOptions& options, const Arena& arena) {
  return segment(Ensemble{{&unet, &weights}}, volume, options, arena).classes;
}

// For people: the uncertainty H in [0,1] of each gate of a network (layers/uncertainty_gate.h), in the order
// of UNet::gate_names(), at each pixel (H,W) of a slice, brought to the network and back as by `segment`.
std::vector<std::vector<float>> gate_uncertainty(const Predictor& network, const Volume& volume,
    int64_t slice, const InferenceOptions& options, const Arena& arena);

// Segments `count` labelled volumes one after the other and scores them against their labels: what training
// calls every N steps, and `patchcl eval`. `see` is called after each case, for pictures and tables.
using VolumeAt = std::function<Volume(int64_t)>;
using SeeCase = std::function<void(const Volume&, const Segmentation&, const CaseScores&)>;
Summary validate(const Ensemble& networks, int64_t count, const VolumeAt& volume,
    const InferenceOptions& inference, const MetricOptions& metrics, const Arena& arena,
    const SeeCase& see = {});
inline Summary validate(const UNet& unet, const ParamStore& weights, int64_t count, const VolumeAt& volume,
    const InferenceOptions& inference, const MetricOptions& metrics, const Arena& arena,
    const SeeCase& see = {}) {
  return validate(Ensemble{{&unet, &weights}}, count, volume, inference, metrics, arena, see);
}

// Begins of windows of `tile` that cover [0, n) evenly, neighbours sharing at least `overlap` of a tile;
// {0} when n <= tile.
std::vector<int64_t> tile_begins(int64_t n, int64_t tile, double overlap);

}  // namespace patchcl
