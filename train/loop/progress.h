// Progress: one line that says where a run is and when it will be done. On a terminal the line rewrites
// itself; elsewhere a plain line appears every ten seconds.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>

namespace patchcl {

class ProgressLine {
 public:
  ProgressLine(int64_t first, int64_t total, int64_t images_per_step);
  // After `done` steps in all; `terms` is "loss 0.412  ce 0.301".
  void update(int64_t done, const std::string& terms);
  // Prints a line of its own (validation results) without mixing it with the progress line.
  void say(const std::string& line);
  ~ProgressLine();

 private:
  using Clock = std::chrono::steady_clock;
  bool terminal_, open_ = false;
  int64_t first_, total_, images_;
  Clock::time_point start_, printed_;
};

std::string duration(double seconds);  // "1 h 02 min", "3 min 20 s", "12 s"

}  // namespace patchcl
