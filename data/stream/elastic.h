// Augmentation of Hu et al. (METHODS 2.2, 2.5): elastic deformation, rotation and scale of image and label
// together, then brightness, gamma and noise of the image.
//
//   u_axis = alpha (G_sigma * n_axis),   n uniform in [-1,1] at each pixel
//   x_out(p) = x( c + scale R(angle) (p - c + u(p)) ),   c the centre, coordinates clamped to the image
// Images are read bilinearly, labels at the nearest pixel: bilinear labels, as released, would be mixed ones.
#pragma once
#include <cstdint>
#include <numbers>
#include <vector>

#include "tensor/random.h"

namespace patchcl {

struct WarpOptions {
  double most_alpha = 1000, least_sigma = 40, most_sigma = 60;  // in pixels; alpha from 0 on
  double least_angle = 0, most_angle = 0;                       // radians, in one image of two
  double least_scale = 1, most_scale = 1;  // in one image of two; half of those below 1, which enlarge
  bool mirror = false;                     // left and right, in one image of two
};
constexpr double kFullTurn = 2 * std::numbers::pi;
// Of contrastive pre-training (2.2) and of fine-tuning (2.5).
constexpr WarpOptions kPretrainingWarp{.most_angle = kFullTurn, .least_scale = 0.7, .most_scale = 1.25};
constexpr WarpOptions kFineTuningWarp{
    .least_angle = -0.1, .most_angle = 0.1, .least_scale = 0.5, .most_scale = 1.9, .mirror = true};

// Where each pixel of a size x size image is read: y and x, (size,size,2), inside [0, size - 1].
std::vector<float> warp_field(int64_t size, const WarpOptions& options, Rng& rng);
// Image (size,size,C) and label (size,size), which may be null, in place.
void warp(int64_t size, int64_t channels, const std::vector<float>& field, float* image, uint8_t* label);

// Each in one image of two: brightness + N(0, 0.2^2), gamma in [0.5,2] on the image's own range, noise of a
// deviation in [0, 0.1]. n numbers; the result is clamped to [0,1]. `from` may be `to`.
void recolour(const float* from, int64_t n, Rng rng, float* to);

}  // namespace patchcl
