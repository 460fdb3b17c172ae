// The phantom's anatomy: what lies where in a generated thorax. phantom.cpp takes the pictures.
#pragma once
#include <array>
#include <cmath>
#include <cstdint>

#include "tensor/random.h"

namespace patchcl::phantom {

enum Label : uint8_t { background, rv, myo, lv };

// Image coordinates run from -1 to 1 along both axes.
struct Point {
  double x, y;
};

// An ellipse with semi-axes a, b turned by `angle`, its outline disturbed by a third harmonic.
struct Blob {
  Point center;
  double a = 1, b = 1, angle = 0, bump = 0, phase = 0;
  double c = std::cos(angle), s = std::sin(angle);
  // 0 at the centre, 1 on the outline, growing outwards. The bump is left out where it cannot move a point
  // over any level that is asked for (0.8 to 1.15): most points are far from most outlines, and the angle is
  // dear.
  double level(Point p) const {
    const double dx = p.x - center.x, dy = p.y - center.y;
    const double u = (c * dx + s * dy) / a, v = (c * dy - s * dx) / b;
    const double r = std::sqrt(u * u + v * v);
    return bump == 0 || r < 0.7 || r > 1.3 ? r : r / (1 + bump * std::cos(3 * std::atan2(v, u) + phase));
  }
  bool holds(Point p) const { return level(p) < 1; }
};

// Slow random waves: texture of a tissue, or the bias of the coil.
struct Waves {
  struct Wave {
    double kx, ky, phase, amplitude;
  };
  std::array<Wave, 5> waves;
  double at(Point p) const {
    double sum = 0;
    for (const Wave& w : waves) sum += w.amplitude * std::cos(w.kx * p.x + w.ky * p.y + w.phase);
    return sum;
  }
};

// All that distinguishes one case from another. Lengths are fractions of half the image.
struct Anatomy {
  Point heart, drift;  // position at mid-height, and how far the long axis leans across the slices
  double radius, wall, oval, oval_angle, bump, bump_phase;
  double septum;  // direction from the left to the right ventricle
  double rv_distance, rv_depth, rv_width;
  double base, apex, rv_apex;  // heights along the long axis, 0 the first slice, 1 the last
  double blood, rv_blood, muscle, fat, lung, liver, body;
  double papillary;  // direction of the first of two muscles within the cavity
  std::array<Blob, 2> lungs;
  Blob thorax, liver_blob, stomach, spine, aorta, atrium;
  std::array<Blob, 6> vessels;
  Waves texture, bias;
  double gamma, blur, noise;
};

Anatomy draw_anatomy(Rng rng);

// The heart as one slice cuts it, at height t along the long axis.
struct HeartSlice {
  Blob epicardium, endocardium, rv;
  std::array<Blob, 2> papillary;
  bool ventricle, cavity, right;  // which of them this slice meets
  bool above_base;                // atria and vessels instead: blood without a label
};

// At height t.
HeartSlice cut_heart(const Anatomy& a, double t);

// What is at one point of a slice.
struct Sample {
  double value;
  Label label;
};

Sample sample(const Anatomy& a, const HeartSlice& h, Point p);

}  // namespace patchcl::phantom
