// Schedules: what changes with the iteration. Pure functions of (iteration, iterations), so a resume needs no
// state.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>

namespace patchcl {

// lr0 (1 - t/T)^0.9, METHODS 4.4: the rate of step t = 0 .. T-1.
inline double poly_lr(double lr0, int64_t t, int64_t iterations) {
  return lr0 *
         std::pow(1 - double(t) / double(std::max<int64_t>(iterations, 1)), 0.9);  // EQ: 4.4 poly schedule
}

// automatic: as the method has it; a run never has it.
enum class Schedule { automatic, poly, constant, cosine };

// The learning rate over a run, or over a phase of it.
struct LearningRate {
  Schedule schedule = Schedule::poly;
  double peak = 0.01;
  int64_t begin = 0, length = 1;  // the steps that it spans
  int64_t warm_up = 0;            // the first of them, over which the rate grows linearly

  double at(int64_t iteration) const {
    const int64_t t = iteration - begin;
    const double start = t < warm_up ? double(t + 1) / double(warm_up) : 1;
    if (schedule == Schedule::poly) return start * poly_lr(peak, t, length);
    if (schedule == Schedule::constant) return start * peak;
    return start * peak *
           (1 + std::cos(std::numbers::pi * double(t) / double(std::max<int64_t>(length, 1)))) / 2;
  }
};

// exp(-5 (1 - min(t, length)/length)^2): from e^-5 to 1 over `length` steps.
inline double gaussian_ramp(double t, double length) {
  if (length <= 0) return 1;
  const double rest = 1 - std::clamp(t / length, 0.0, 1.0);
  return std::exp(-5 * rest * rest);  // EQ: 4.4 consistency ramp-up
}

// Teacher's averaging factor: min(1 - 1/(t + 1), alpha), METHODS 4.4; early teachers follow the student
// closely.
inline double ema_alpha(int64_t t, double alpha) {
  return std::min(1 - 1 / double(t + 1), alpha);
}  // EQ: 4.4 alpha of the average

}  // namespace patchcl
