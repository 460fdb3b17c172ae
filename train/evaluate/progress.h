// Progress: one line that says when something will be done and where it is. On a terminal the line rewrites
// itself and fits the width, the last one as a whole; elsewhere a plain line appears every ten seconds.
//
//   ETA 3 min 20 s  step 1200/10000  63.2 images/s  loss 0.412  ce 0.301
#pragma once
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <string>

namespace patchcl {

// What a number of items come to: their cost, in any unit, and the images in them.
struct Work {
  double cost = 0, images = 0;
};

class ProgressLine {
 public:
  struct Options {
    std::string item = "step";  // what is counted
    int64_t first = 0;          // done before this process began
    // Of the first `done` items, where they do not cost alike; with images, their speed is shown.
    std::function<Work(int64_t done)> work = [](int64_t done) { return Work{double(done)}; };
    std::FILE* out = stdout;  // stderr where results go to standard output
  };
  ProgressLine(int64_t total, const Options& options);
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  // How many there will be, where it was not known at first.
  void expect(int64_t total) { total_ = total; }
  // After `done` items in all; `detail` is parted by two spaces: "loss 0.412  ce 0.301".
  void update(int64_t done, const std::string& detail = {});
  // Prints a line of its own (validation results) without mixing it with the progress line.
  void say(const std::string& line);
  // The line after `done` items in all, this process's in so many seconds.
  std::string text(int64_t done, double seconds, const std::string& detail) const;

 private:
  using Clock = std::chrono::steady_clock;
  void clear();

  Options options_;
  int64_t total_;
  bool terminal_, open_ = false;
  Clock::time_point start_, printed_;
};

std::string duration(double seconds);  // "1 h 02 min", "3 min 20 s", "12 s"

// How long what is left will take, from what was finished since this was made.
class TimeLeft {
 public:
  explicit TimeLeft(size_t all) : left_(all), start_(std::chrono::steady_clock::now()) {}
  void skip() { --left_; }  // it was done before
  void finish() {
    --left_;
    ++done_;
  }
  bool known() const { return done_ > 0; }
  std::string left() const;  // once known

 private:
  size_t left_, done_ = 0;
  std::chrono::steady_clock::time_point start_;
};

// As many parts of `line`, kept apart by two spaces, as `width` columns hold; of the first what fits.
std::string fitted(const std::string& line, size_t width);

}  // namespace patchcl
