// Augmentation of training slices (METHODS 4.2): random rotations and flips at the image's own size, then
// resizing (or a cut at scale) to one size, and on request a window cut out of that: a network learns
// the full resolution at a part of the cost. Image and label move together.
#pragma once
#include <string>

#include "data/stream/dataset.h"
#include "tensor/random.h"

namespace patchcl {

// none            resize only
// ssl4mis         1/2 quarter turn and flip, 1/4 rotation by -20..19 degrees, 1/4 nothing: the version behind
//                 published baselines
// ssl4mis_2025    1/2 quarter turn and flip, 1/2 rotation
// flips           always a quarter turn and flip: FixMatch's weak view
// elastic         elastic deformation, any rotation, scale (METHODS 2.2, elastic.h)
// elastic_mirror  that of METHODS 2.5
enum class Augmentation { none, ssl4mis, ssl4mis_2025, flips, elastic, elastic_mirror };
const std::vector<std::string>& augmentation_names();  // in the order of the values

// Where a window lies, for each image anew:
// centre      triangular about the centre in both axes: the mean of two uniform places
// uniform     anywhere
// foreground  every other one with a random labelled foreground pixel in its middle, as far as the image
//             reaches, where there is such a pixel; else anywhere
enum class WindowAt { centre, uniform, foreground };

struct AugmentOptions {
  Augmentation kind = Augmentation::ssl4mis;
  int64_t size = 256;  // height and width of the whole image
  Fit fit = Fit::resize;
  int64_t window = 0;  // height and width of the window; 0: the whole image
  WindowAt window_at = WindowAt::centre;
  bool bilinear_labels = false;  // as Hu et al.'s released code has it: other classes where two meet
  int64_t side() const { return window > 0 ? window : size; }  // of the result
};

// Writes image (side,side,C) and, when the slice has one, label (side,side). `label` may be null otherwise.
void augment(const Slice& in, const AugmentOptions& options, Rng rng, float* image, uint8_t* label);

// The strong view: colour jitter of the weak one (pixels,C), METHODS 4.2. Brightness, contrast and, for
// colour, saturation, each factor uniform in [0.2, 1.8]; result clamped to [0,1].
void strong_view(const float* weak, int64_t pixels, int64_t channels, Rng rng, float* strong);

// floor(255 x)/255: what is left of an image that was saved as 8 bits (METHODS 7.4, 7.5).
void eight_bit_view(const float* weak, int64_t numbers, float* view);

// The strong view of METHODS 7.4 and 7.5: that of 8 bits; with p 0.8 brightness, then contrast with factors
// uniform in [0.5, 1.5], clamped to [0,1]; with p `blur` a Gaussian blur of sigma uniform in (0.1, 2), the
// image mirrored at its border.
void blurred_view(
    const float* weak, int64_t height, int64_t width, int64_t channels, double blur, Rng rng, float* strong);

// The parts of augment(), on an interleaved image (H,W,C).
template <class T> struct Picture {
  int64_t height, width, channels;
  std::vector<T> values;
};
// numpy.rot90(k) followed by numpy.flip(axis).
template <class T> Picture<T> rot90_flip(const Picture<T>& in, int64_t quarter_turns, int axis);
// scipy.ndimage.rotate(angle, order=0, reshape=False), outside filled with 0.
template <class T> Picture<T> rotate_nearest(const Picture<T>& in, double degrees);

}  // namespace patchcl
