#include "train/loop/progress.h"

#include <unistd.h>

#include <cstdio>

namespace patchcl {

std::string duration(double seconds) {
  char s[32];
  const long t = long(seconds + 0.5);
  if (t >= 3600) std::snprintf(s, sizeof s, "%ld h %02ld min", t / 3600, t / 60 % 60);
  else if (t >= 60) std::snprintf(s, sizeof s, "%ld min %02ld s", t / 60, t % 60);
  else std::snprintf(s, sizeof s, "%ld s", t);
  return s;
}

ProgressLine::ProgressLine(int64_t first, int64_t total, int64_t images_per_step)
    : terminal_(isatty(STDOUT_FILENO)), first_(first), total_(total), images_(images_per_step),
      start_(Clock::now()), printed_(start_) {}

void ProgressLine::update(int64_t done, const std::string& terms) {
  const auto now = Clock::now();
  const double since_print = std::chrono::duration<double>(now - printed_).count();
  if (done < total_ && since_print < (terminal_ ? 0.2 : 10)) return;
  printed_ = now;
  const double elapsed = std::chrono::duration<double>(now - start_).count(), steps = double(done - first_);
  const double rate = elapsed > 0 ? steps / elapsed : 0;
  char head[64], tail[80];
  std::snprintf(
      head, sizeof head, "step %lld/%lld", static_cast<long long>(done), static_cast<long long>(total_));
  std::snprintf(tail, sizeof tail, "%.1f images/s  ETA %s", rate * double(images_),
      duration(rate > 0 ? double(total_ - done) / rate : 0).c_str());
  std::printf(
      "%s%s  %s  %s%s", terminal_ ? "\r\x1b[K" : "", head, terms.c_str(), tail, terminal_ ? "" : "\n");
  std::fflush(stdout);
  open_ = terminal_;
}

void ProgressLine::say(const std::string& line) {
  std::printf("%s%s\n", open_ ? "\r\x1b[K" : "", line.c_str());
  std::fflush(stdout);
  open_ = false;
}

ProgressLine::~ProgressLine() {
  if (open_) std::printf("\n");
}

}  // namespace patchcl
